"""latents -> dit, sample: per window, the posterior of z_a and z_v, and the training set's statistics.

Fields: `audio.npy` float16 [2c_a, h, w], `video.npy` float16 [2c_v, h, w] (mean, then log-variance); `meta.json`:
clip_id, start_frame, class_id, split. `statistics.json`: per channel, mean and standard deviation of the draws
over the training windows, with which the DiT's input is normalised; class_names by class_id; text_shape. Captions: captions.py.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.contracts.outputs import require_whole, write_text
from pipeline.contracts.shards import META, ShardReader
from pipeline.contracts.windows import window_key

AUDIO, VIDEO = "audio.npy", "video.npy"
META_KEYS = {"clip_id", "start_frame", "class_id", "split"}
STATISTICS = "statistics.json"


@dataclass(frozen=True, slots=True)
class LatentStatistics:
    """Per-channel statistics of the training latents, and the shapes [c, h, w]."""

    audio_shape: tuple[int, int, int]
    video_shape: tuple[int, int, int]
    audio_mean: tuple[float, ...]
    audio_std: tuple[float, ...]
    video_mean: tuple[float, ...]
    video_std: tuple[float, ...]
    class_names: tuple[str, ...]
    text_shape: tuple[int, ...] = ()
    """Tokens and width of a caption's embedding; empty: none are cached."""


def latent_sample(audio: np.ndarray, video: np.ndarray, meta: dict[str, object]) -> tuple[str, dict[str, Any]]:
    """(key, fields) of one window."""
    assert audio.dtype == video.dtype == np.float16 and audio.ndim == video.ndim == 3, (audio.shape, video.shape)
    assert set(meta) == META_KEYS, set(meta) ^ META_KEYS
    key = window_key(str(meta["clip_id"]), int(str(meta["start_frame"])))
    return key, {AUDIO: audio, VIDEO: video, META: meta}


def read_latents(folder: Path, split: str | None = None) -> ShardReader:
    """Windows by index: {"key", "audio", "video", "meta"}."""
    return ShardReader(folder, split, (AUDIO, VIDEO, META))


def write_statistics(folder: Path, statistics: LatentStatistics) -> None:
    """Write `statistics.json`."""
    values = {name: list(getattr(statistics, name)) for name in LatentStatistics.__slots__}  # type: ignore[attr-defined]
    write_text(folder / STATISTICS, json.dumps(values, indent=1) + "\n")


def read_statistics(folder: Path) -> LatentStatistics:
    """Read `statistics.json` of a finished latents stage."""
    values = json.loads((require_whole(folder) / STATISTICS).read_text())
    return LatentStatistics(**{name: tuple(value) for name, value in values.items()})
