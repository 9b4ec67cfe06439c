"""The images that the KL-VAE sees: frames and audio images of one split, by index, without loading them all."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.contracts.audio_image_shards import gray_array, read_audio_images
from pipeline.contracts.decoded import FRAMES, META, read_decoded
from pipeline.shared_batch import own
from stages.audio_images.image import rgb_from_gray

CACHE_BYTES = 2_000_000_000  # decoded clips kept in memory at most; beyond it they are read again


class TrainingImages:
    """Random frames and audio images of one split."""

    def __init__(self, decode: Path, audio_images: Path, split: str, size_px: int) -> None:
        self.clips = read_decoded(decode, split, fields=(FRAMES, META))
        self.windows = read_audio_images(audio_images, split)
        self.size_px = size_px
        self._frames: dict[int, np.ndarray] = {}
        self._cached_bytes = 0

    def batch(self, size: int, seed: int, *, audio_share: float = 0.5, shared: bool = False) -> Tensor:
        """uint8 [size, H, W, 3]: frames, then the share of audio images, drawn by `seed`; `shared`: this process's items."""
        rng = np.random.default_rng(seed)
        num_frames = size - round(size * audio_share)
        drawn = [partial(self.frame, int(rng.integers(len(self.clips))), rng.random()) for _ in range(num_frames)]
        drawn += [partial(self.audio_image, int(rng.integers(len(self.windows)))) for _ in range(size - num_frames)]
        return torch.from_numpy(np.stack([read() for read in (own(drawn) if shared else drawn)]))

    def audio_image(self, i: int) -> np.ndarray:
        """RGB audio image uint8 [H, W, 3] of window i."""
        return rgb_from_gray(gray_array(self.windows[i]["gray"]), self.size_px)

    def frame(self, clip: int, place: float) -> np.ndarray:
        """RGB frame uint8 [H, W, 3] of a clip, `place` of the way from its first (0) to its end (1)."""
        frames = self._frames.get(clip)
        if frames is None:
            frames = self.clips[clip]["frames"]
            if self._cached_bytes + frames.nbytes <= CACHE_BYTES:
                self._frames[clip] = frames
                self._cached_bytes += frames.nbytes
        return frames[int(place * len(frames))]


def to_model_range(images: Tensor) -> Tensor:
    """uint8 [b, H, W, 3] -> float [b, 3, H, W] in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """float [b, 3, H, W], about [-1, 1] -> uint8 [b, H, W, 3]."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
