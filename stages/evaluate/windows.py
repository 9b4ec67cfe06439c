"""Sets of windows to measure besides the real ones: generated ones of data/sample, and any of these at another size or in other pairs."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from pipeline.contracts.outputs import hash_file
from pipeline.contracts.samples import read_lossless
from pipeline.contracts.window_sets import Window, WindowSet
from pipeline.contracts.windows import window_samples
from pipeline.errors import DataError
from pipeline.params import AudioParams, ClipParams


def sources(windows: WindowSet) -> list[str]:
    """What each window belongs to: the bootstrap draws these."""
    return [source for source, _ in windows.origins]


class SampleWindows:
    """Generated windows, in the order of the rows of `samples.parquet` given."""

    def __init__(self, sample: Path, rows: pd.DataFrame, clip: ClipParams, audio: AudioParams) -> None:
        self.sample, self.clip, self.audio = sample, clip, audio
        self.rows = rows.reset_index(drop=True)

    @property
    def names(self) -> list[str]:
        return self.rows["sample_id"].tolist()

    @property
    def class_ids(self) -> list[int]:
        return self.rows["class_id"].tolist()

    @property
    def origins(self) -> list[tuple[str, float]]:
        return [(str(name), 0.0) for name in self.rows["sample_id"]]

    @property
    def addresses(self) -> list[str]:
        return [hash_file(self._path(i)) for i in range(len(self))]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Window]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i: int) -> Window:
        frames, waveform, _ = self.load(i)
        wanted = window_samples(self.clip, self.audio)
        # A vocoder gives whole columns of the mel, which may be a hop more or less than the window.
        sound = np.pad(waveform[:wanted], (0, max(0, wanted - len(waveform))))
        return Window(str(self.rows["sample_id"][i]), self.class_ids[i], frames, sound)

    def load(self, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(frames, waveform, gray) as the sample stage wrote them."""
        path = self._path(i)
        frames, waveform, gray = read_lossless(path)
        if len(frames) != self.clip.num_frames:
            raise DataError(f"{path} has {len(frames)} frames, {self.clip.num_frames} needed (clip.num_frames); run: dvc repro sample")
        return frames, waveform, gray

    def _path(self, i: int) -> Path:
        path = self.sample / str(self.rows["lossless"][i])
        if not path.is_file():
            raise DataError(f"{path} is missing though samples.parquet names it; run: dvc repro sample --force")
        return path


class Resized:
    """The same windows with smaller square frames, by torch's resize: bilinear and antialiased, or bicubic without (MM-Diffusion)."""

    def __init__(self, windows: WindowSet, size_px: int, resize: Literal["bilinear_antialiased", "bicubic"]) -> None:
        """Args:
            size_px: side of the frames that come out.
        """
        self.windows, self.size_px, self.resize = windows, size_px, resize

    @property
    def class_ids(self) -> list[int]:
        return self.windows.class_ids

    @property
    def origins(self) -> list[tuple[str, float]]:
        return self.windows.origins

    @property
    def names(self) -> list[str]:
        return self.windows.names

    @property
    def addresses(self) -> list[str]:
        return [f"{address} at {self.size_px} px, {self.resize}" for address in self.windows.addresses]

    def __len__(self) -> int:
        return len(self.windows)

    def __iter__(self) -> Iterator[Window]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i: int) -> Window:
        window = self.windows[i]
        images = torch.from_numpy(window.frames).permute(0, 3, 1, 2).float()
        antialias = self.resize == "bilinear_antialiased"
        images = F.interpolate(images, size=(self.size_px, self.size_px), mode="bilinear" if antialias else "bicubic", align_corners=False,
                               antialias=antialias)
        return replace(window, frames=images.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy())


class Paired:
    """Pictures of some windows beside the sounds of others."""

    def __init__(self, windows: WindowSet, pairs: np.ndarray) -> None:
        """Args:
            pairs: int [p, 2], which picture and which sound.
        """
        self.windows, self.pairs = windows, [(int(picture), int(sound)) for picture, sound in pairs]

    @property
    def class_ids(self) -> list[int]:
        classes = self.windows.class_ids
        return [classes[picture] for picture, _ in self.pairs]

    @property
    def origins(self) -> list[tuple[str, float]]:
        origins = self.windows.origins
        return [origins[picture] for picture, _ in self.pairs]

    @property
    def names(self) -> list[str]:
        names = self.windows.names
        return [f"{names[picture]} beside the sound of {names[sound]}" for picture, sound in self.pairs]

    @property
    def addresses(self) -> list[str]:
        addresses = self.windows.addresses
        return [f"{addresses[picture]} beside the sound of {addresses[sound]}" for picture, sound in self.pairs]

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[Window]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i: int) -> Window:
        picture, sound = self.pairs[i]
        seen, heard = self.windows[picture], self.windows[sound]
        return replace(seen, name=f"{seen.name} beside the sound of {heard.name}", waveform=heard.waveform)
