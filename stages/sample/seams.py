"""How well windows join: the step from one frame (or column of the mel) to the next, at the joins and inside of windows.

Steps are mean absolute differences of gray values, as shares of 255. A join no larger than that of real windows in a row is not seen or
heard (their mels, each made of its own window's sound alone, do not meet without a step either).
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.contracts.samples import read_frames, read_lossless_fields


def frame_steps(frames: Iterable[np.ndarray]) -> np.ndarray:
    """Steps [N - 1] between N frames uint8 [H, W, 3] that come one by one."""
    steps, last = [], None
    for frame in frames:
        now = frame.astype(np.float32)
        if last is not None:
            steps.append(float(np.abs(now - last).mean()) / 255)
        last = now
    return np.array(steps)


def mel_steps(gray: np.ndarray) -> np.ndarray:
    """Steps [n - 1] between the columns of a gray mel image uint8 [n_mels, n]."""
    return np.abs(np.diff(gray.astype(np.float32), axis=1)).mean(axis=0) / 255


def at_joins_and_inside(steps: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """The steps where one window of `window` frames (or columns) ends and the next begins, and all others."""
    is_join = (np.arange(len(steps)) + 1) % window == 0
    return steps[is_join], steps[~is_join]


def long_seams(sidecars: Sequence[Path], num_frames: int, columns: int) -> Mapping[str, float]:
    """Means over all `long` samples: frame_step_joins, frame_step_inside, mel_step_joins, mel_step_inside.

    Args:
        sidecars: their lossless files; one frame of each is in memory at a time.
        num_frames, columns: of a window.
    """
    joins: dict[str, list[np.ndarray]] = {"frame": [], "mel": []}
    inside: dict[str, list[np.ndarray]] = {"frame": [], "mel": []}
    for path in sidecars:
        gray = read_lossless_fields(path, "gray")
        for name, steps, window in (("frame", frame_steps(read_frames(path)), num_frames), ("mel", mel_steps(gray), columns)):
            at_joins, others = at_joins_and_inside(steps, window)
            joins[name].append(at_joins)
            inside[name].append(others)
    return {f"{name}_step_{where}": round(float(np.concatenate(found[name]).mean()), 5)
            for name in joins for where, found in (("joins", joins), ("inside", inside))}


def continuation_seams(pairs: Iterable[tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]]) -> Mapping[str, float]:
    """The same of windows that continue a real one: where the real one meets the made one, and inside of the made one.

    Args:
        pairs: (frames [F, H, W, 3], gray [n_mels, n]) of the real window and of the one made after it.
    """
    found: dict[str, list[float]] = {}
    for (before_frames, before_gray), (frames, gray) in pairs:
        for name, joined, own in (("frame", frame_steps([before_frames[-1], frames[0]]), frame_steps(frames)),
                                  ("mel", mel_steps(np.stack([before_gray[:, -1], gray[:, 0]], axis=1)), mel_steps(gray))):
            found.setdefault(f"{name}_step_joins", []).append(float(joined[0]))
            found.setdefault(f"{name}_step_inside", []).append(float(own.mean()))
    return {name: round(float(np.mean(values)), 5) for name, values in found.items()}
