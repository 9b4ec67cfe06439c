"""What a person sees and hears of a window or a sample."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Shown:
    """Picture, sound and the mel image of the sound."""

    frames: np.ndarray
    """uint8 [F, H, W, 3], RGB."""
    waveform: np.ndarray
    """int16 [S], mono."""
    gray: np.ndarray
    """The mel as 8-bit gray, uint8 [n_mels, columns]."""


def as_shown(task: str, made: Shown, real: Shown | None) -> Shown:
    """What a sample of a task shows and sounds: the made window with the given half as it really is, and silence or black for what
    the task leaves out."""
    if task in ("a2v", "v2a", "i2a"):
        assert real is not None
        if task == "a2v":
            return Shown(made.frames, real.waveform, real.gray)
        return Shown(real.frames if task == "v2a" else still(real.frames), made.waveform, made.gray)
    if task == "v":
        return Shown(made.frames, np.zeros_like(made.waveform), np.zeros_like(made.gray))
    return Shown(np.zeros_like(made.frames), made.waveform, made.gray) if task == "a" else made


def still(frames: np.ndarray) -> np.ndarray:
    """The first of frames [F, H, W, 3], standing still for as long."""
    return frames[:1].repeat(len(frames), axis=0)
