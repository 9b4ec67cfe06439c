"""The held-out windows that samples are conditioned on, and what they really look and sound like."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.contracts.audio_image_shards import gray_array, read_audio_images
from pipeline.contracts.captions import read_captions
from pipeline.contracts.decoded import read_decoded
from pipeline.contracts.latents import read_latents
from pipeline.contracts.windows import window_waveform
from pipeline.errors import DataError
from pipeline.params import AudioParams, ClipParams
from stages.dit.data import evenly_spaced
from stages.dit.pairs import following_pairs
from stages.sample.shown import Shown

MAX_PAIRS = 64


class HeldOutWindows:
    """The windows of the test split by place: latents, and the real frames, sound and mel."""

    def __init__(self, latents: Path, decode: Path, audio_images: Path, clip: ClipParams, audio: AudioParams, *, texts: bool) -> None:
        """texts: the captions are wanted too.

        Raises:
            DataError: there are none.
        """
        self.clip, self.audio = clip, audio
        self.latents = read_latents(latents, "test")
        if len(self.latents) == 0:
            raise DataError(f"{latents} has no windows of the test split, 1 or more needed to sample and compare; "
                            "add clips or raise inventory.test_share, then run: dvc repro")
        self.decoded, self.images = read_decoded(decode, "test"), read_audio_images(audio_images, "test")
        self.decoded_place = {key: i for i, key in enumerate(self.decoded.keys)}
        self.image_place = {key: i for i, key in enumerate(self.images.keys)}
        self.table = pd.DataFrame([row["meta"] for row in self.latents])
        """One row a window: clip_id, start_frame, class_id, split."""
        self.captions = read_captions(latents) if texts else None
        meta = self.images[0]["meta"]
        self.db_floor, self.db_ceiling = float(meta["db_floor"]), float(meta["db_ceiling"])
        self.mel_size = (int(meta["mel_size"][0]), int(meta["mel_size"][1]))
        """Mel bands and columns of an audio image, and the decibels of its gray 0 and 255."""

    def latents_of(self, places: list[int]) -> tuple[Tensor, Tensor]:
        """The posteriors' means: z_a, z_v, float32 [b, c, h, w]."""
        def means(field: str) -> Tensor:
            moments = np.stack([self.latents[place][field] for place in places]).astype(np.float32)
            return torch.from_numpy(moments).chunk(2, dim=1)[0]

        return means("audio"), means("video")

    def pairs_in_a_row(self) -> list[tuple[int, int]]:
        """Places of a window and of the one that begins where it ends, at most `MAX_PAIRS`, spread over the clips."""
        pairs = following_pairs(self.latents.keys, self.clip.num_frames)
        return [pairs[place] for place in evenly_spaced(len(pairs), MAX_PAIRS)] if pairs else []

    def text_of(self, place: int | None) -> str:
        """The caption of a window's clip; "" of None."""
        return "" if place is None or self.captions is None else self.captions.texts[self.table["clip_id"].iloc[place]]

    def texts_of(self, places: list[int | None]) -> Tensor | None:
        """Embeddings [b, tokens, width] of the captions of windows; None: there are none."""
        clip_ids = [self.table["clip_id"].iloc[place] for place in places if place is not None]
        return torch.from_numpy(self.captions.embedded(clip_ids)) if self.captions is not None and clip_ids else None

    def shown(self, place: int) -> Shown:
        """The real window."""
        row = self.table.iloc[place]
        start = int(row["start_frame"])
        clip = self.decoded[self._find(self.decoded_place, row["clip_id"], "decode")]
        image = self.images[self._find(self.image_place, self.latents.keys[place], "audio_images")]
        return Shown(clip["frames"][start : start + self.clip.num_frames],
                     window_waveform(clip["waveform"], start, self.clip, self.audio), gray_array(image["gray"]))

    @staticmethod
    def _find(places: dict[str, int], key: str, stage: str) -> int:
        if key not in places:
            raise DataError(f"data/{stage} has no {key}, which data/latents has; the two are of different runs: dvc repro")
        return places[key]
