"""audio_images -> encode, evaluate: per window, the mel as an 8-bit gray PNG at mel size.

Fields: `gray.png` [n_mels, columns], low frequencies at the bottom row, time to the right; `meta.json`: clip_id,
start_frame, class_id, split, db_floor, db_ceiling (gray 0 and 255), mel_size [n_mels, columns].
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.contracts.shards import META, ShardReader
from pipeline.contracts.windows import window_key

GRAY = "gray.png"
META_KEYS = {"clip_id", "start_frame", "class_id", "split", "db_floor", "db_ceiling", "mel_size"}


def audio_image_sample(gray: np.ndarray, meta: dict[str, object]) -> tuple[str, dict[str, Any]]:
    """(key, fields) of one window; gray uint8 [n_mels, columns]."""
    assert gray.dtype == np.uint8 and list(gray.shape) == meta["mel_size"], (gray.dtype, gray.shape)
    assert set(meta) == META_KEYS, set(meta) ^ META_KEYS
    stream = io.BytesIO()
    Image.fromarray(gray, mode="L").save(stream, format="PNG", compress_level=1)
    return window_key(str(meta["clip_id"]), int(str(meta["start_frame"]))), {GRAY: stream.getvalue(), META: meta}


def read_audio_images(folder: Path, split: str | None = None) -> ShardReader:
    """Windows by index: {"key", "gray": PNG bytes, "meta"}; decode the PNG with `gray_array`."""
    return ShardReader(folder, split, (GRAY, META))


def gray_array(png: bytes) -> np.ndarray:
    """uint8 [n_mels, columns] of a window's PNG."""
    return np.asarray(Image.open(io.BytesIO(png)))
