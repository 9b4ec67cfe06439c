"""From windows to features: one small interface, so that distances know nothing of networks and networks nothing of distances."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from pipeline.contracts.window_sets import Window
from pipeline.params import ClipParams

Modality = Literal["video", "audio", "pair", "joint"]
"""What an extractor takes in: frames, the waveform, each of both for itself ("pair": features [n, 2, d] of picture and sound), or both at
once ("joint": features of how they go together, so that a picture beside another sound is another window)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InputContract:
    """Which windows a network can take; others are not bent to fit, its figures are absent."""

    min_frames: int = 1
    num_frames: int | None = None
    """Exactly so many; None: any number from `min_frames`."""
    min_sec: float = 0.0
    max_sec: float | None = None

    def mismatch(self, clip: ClipParams) -> str:
        """Why windows of this shape cannot be taken, "" when they can: 'needs X, clip has Y'."""
        if self.num_frames is not None and clip.num_frames != self.num_frames:
            return f"needs windows of {self.num_frames} frames, clip.num_frames is {clip.num_frames}"
        if clip.num_frames < self.min_frames:
            return f"needs windows of {self.min_frames} frames or more, clip.num_frames is {clip.num_frames}"
        if clip.window_sec < self.min_sec:
            return f"is undefined under {self.min_sec:g} s, windows have {clip.window_sec:g} s (clip.num_frames, clip.fps)"
        if self.max_sec is not None and clip.window_sec > self.max_sec:
            return f"takes {self.max_sec:g} s at most, windows have {clip.window_sec:g} s (clip.num_frames, clip.fps)"
        return ""


class Extractor(Protocol):
    """What turns a batch of windows into features."""

    name: str
    """Part of every metric's name: "local", "i3d_styleganv"."""
    version: str
    """Of its input and network as written here; a change of either is another version."""
    modality: Modality
    metrics: tuple[str, ...]
    """Distances that its features give, each with the extractor's name behind it: ("fvd", "kvd")."""
    scale: float
    """By which its Frechet distances are multiplied before they are reported; 1 but for what was published otherwise."""
    batch_size: int
    """Windows of one call; a fixed number, so that the last bits of features depend on the set alone."""
    contract: InputContract
    device: torch.device
    """Where its network lies."""
    weights: str
    """sha256 of its weights."""
    input: str
    """The way of the picture or the sound from the window into the network, in words."""

    def __call__(self, windows: list[Window]) -> Tensor:
        """float32 [len(windows), d]; [len(windows), k, d] when a window holds k of what the network takes in."""

    def release(self) -> None:
        """Give the network's memory back; a later call opens it again."""


def stack_frames(windows: list[Window]) -> Tensor:
    """uint8 [b, f, h, w, 3]."""
    return torch.from_numpy(np.stack([window.frames for window in windows]))


def stack_waveforms(windows: list[Window]) -> Tensor:
    """float32 [b, s] in [-1, 1)."""
    return torch.from_numpy(np.stack([window.waveform for window in windows])).float() / 32768
