"""encode -> autoencoder, latents: KL-VAE moments, scaled, per clip.

Fields: `video.npy` float16 [N, 2c, h, w], every frame of the clip once; `audio.npy` float16 [W, 2c, h, w], one audio
image per window; the first c channels are the mean, the others the log-variance, both of the SCALED latent (the
KL-VAE's wrapper owns the scale). `meta.json`: clip_id, class_id, class_name, split, window_starts (first frames, W of them).
With `encode.flips` also `video_flipped.npy`, like `video.npy`, of every frame mirrored left to right.
"""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.contracts.shards import META, ShardReader

VIDEO, AUDIO, VIDEO_FLIPPED = "video.npy", "audio.npy", "video_flipped.npy"
META_KEYS = {"clip_id", "class_id", "class_name", "split", "window_starts"}


def moments_sample(video: np.ndarray, audio: np.ndarray, meta: dict[str, object],
                   video_flipped: np.ndarray | None = None) -> tuple[str, dict[str, Any]]:
    """(key, fields) of one clip."""
    assert video.dtype == audio.dtype == np.float16 and video.shape[1:] == audio.shape[1:], (video.shape, audio.shape)
    assert video_flipped is None or (video_flipped.dtype == np.float16 and video_flipped.shape == video.shape), video_flipped.shape
    assert set(meta) == META_KEYS, set(meta) ^ META_KEYS
    flipped = {} if video_flipped is None else {VIDEO_FLIPPED: video_flipped}
    return str(meta["clip_id"]), {VIDEO: video, AUDIO: audio, **flipped, META: meta}


def read_moments(folder: Path, split: str | None = None, *, flipped: bool = False) -> ShardReader:
    """Clips by index: {"key", "video", "audio", "meta"} and, where asked for, "video_flipped".

    Raises:
        DataError: mirrored frames are asked for and were not encoded (`encode.flips`).
    """
    return ShardReader(folder, split, (VIDEO, AUDIO, *((VIDEO_FLIPPED,) if flipped else ()), META))
