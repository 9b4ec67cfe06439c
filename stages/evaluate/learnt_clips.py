"""Every clip that was learnt from, frame by frame, as thumbnails: small enough that no window of the training set is left out."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from pipeline.contracts.decoded import FRAMES, read_decoded
from pipeline.contracts.window_sets import sources_of
from pipeline.contracts.windows import window_key, window_starts
from pipeline.params import ClipParams

SIDE_PX = 16
"""A thumbnail's side: what makes a scene that scene survives, compression and noise do not."""
SOURCES_PER_BLOCK = 8


def thumbnails(frames: np.ndarray) -> np.ndarray:
    """Frames uint8 [n, H, W, 3], areas averaged: uint8 [n, 16 * 16 * 3]."""
    images = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
    small = F.interpolate(images, size=(SIDE_PX, SIDE_PX), mode="area").round().clamp(0, 255).to(torch.uint8)
    return small.flatten(1).numpy()


class LearntClips:
    """The training clips of data/decode. Their thumbnails (768 bytes a frame) are made once and lie in a file, not in memory."""

    def __init__(self, decode: Path, clip: ClipParams, scratch: Path) -> None:
        self.decode, self.clip, self.scratch = decode, clip, scratch
        self.sources = sources_of(decode, "train")

    @cached_property
    def keys(self) -> list[str]:
        """`window_key` of every window, in the order of `blocks`."""
        return [window_key(clip_id, start) for source in self.sources for clip_id, length in source.clips
                for start in window_starts(length, self.clip)]

    def blocks(self) -> Iterator[tuple[np.ndarray, Sequence[str]]]:
        """Every window as a row of pixels float32 [b, F * 768], with its source; whole sources, for `nearest`."""
        small, first = self._thumbnails, 0
        rows, names = [], []
        for i, source in enumerate(self.sources):
            for _, length in source.clips:
                starts = window_starts(length, self.clip)
                rows += [small[first + start:first + start + self.clip.num_frames].reshape(-1) for start in starts]
                names += [source.source_path] * len(starts)
                first += length
            if rows and ((i + 1) % SOURCES_PER_BLOCK == 0 or i + 1 == len(self.sources)):
                yield np.stack(rows).astype(np.float32), names
                rows, names = [], []

    @cached_property
    def _thumbnails(self) -> np.ndarray:
        """uint8 [frames of all clips, 768], read from the disk where they are asked for."""
        reader = read_decoded(self.decode, "train", (FRAMES,))
        places = {key: i for i, key in enumerate(reader.keys)}
        clips = [(clip_id, length) for source in self.sources for clip_id, length in source.clips]
        self.scratch.mkdir(parents=True, exist_ok=True)
        made = np.lib.format.open_memmap(self.scratch / "thumbnails.npy", mode="w+", dtype=np.uint8,
                                         shape=(sum(length for _, length in clips), SIDE_PX * SIDE_PX * 3))
        first = 0
        for clip_id, length in clips:
            made[first:first + length] = thumbnails(reader[places[clip_id]]["frames"])
            first += length
        return made
