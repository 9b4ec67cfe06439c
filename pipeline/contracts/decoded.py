"""decode -> audio_images, encode, evaluate, sample: per clip, frames and waveform, both from the clip's start.

Fields: `frames.npy` uint8 [N, H, W, 3] in [0, 255], RGB, clip.fps; `waveform.npy` int16 [S], mono,
audio.sample_rate_hz; `meta.json`: clip_id, class_id, class_name, split, source_path, start_sec,
gain (the waveform was multiplied by it, 1.0 unless it peaked over 1.0), reader.
"""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.contracts.shards import META, ShardReader

FRAMES, WAVEFORM = "frames.npy", "waveform.npy"
META_KEYS = {"clip_id", "class_id", "class_name", "split", "source_path", "start_sec", "gain", "reader"}


def decoded_sample(frames: np.ndarray, waveform: np.ndarray, meta: dict[str, object]) -> tuple[str, dict[str, Any]]:
    """(key, fields) of one clip; shapes, types and keys are checked here."""
    assert frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[3] == 3, (frames.dtype, frames.shape)
    assert waveform.dtype == np.int16 and waveform.ndim == 1, (waveform.dtype, waveform.shape)
    assert set(meta) == META_KEYS, set(meta) ^ META_KEYS
    return str(meta["clip_id"]), {FRAMES: frames, WAVEFORM: waveform, META: meta}


def read_decoded(folder: Path, split: str | None = None, fields: tuple[str, ...] = (FRAMES, WAVEFORM, META)) -> ShardReader:
    """Clips by index: {"key", "frames", "waveform", "meta"}."""
    return ShardReader(folder, split, fields)


def float_waveform(waveform: np.ndarray) -> np.ndarray:
    """int16 to float32 in [-1, 1)."""
    return waveform.astype(np.float32) / 32768.0
