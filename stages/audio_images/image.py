"""Mel <-> 8-bit gray image <-> RGB audio image of the frames' size (paper 3.1: PIL to RGB, resized to H x W)."""

from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def gray_from_mel(mel_db: Tensor, db_floor: float, db_ceiling: float) -> np.ndarray:
    """uint8 [..., m, n] of mels in dB [..., m, n]: db_floor -> 0, db_ceiling -> 255; the lowest frequency becomes the bottom row."""
    share = ((mel_db - db_floor) / (db_ceiling - db_floor)).clamp(0, 1)
    return torch.round(share * 255).to(torch.uint8).flip(-2).numpy()


def mel_from_gray(gray: np.ndarray, db_floor: float, db_ceiling: float) -> Tensor:
    """Mels in dB [..., m, n], the inverse of `gray_from_mel` up to 8 bits."""
    share = torch.from_numpy(gray.astype(np.float32)).flip(-2) / 255
    return share * (db_ceiling - db_floor) + db_floor


def rgb_from_gray(gray: np.ndarray, size_px: int) -> np.ndarray:
    """The audio image uint8 [size_px, size_px, 3] of a gray mel image [m, n]."""
    return np.asarray(Image.fromarray(gray).convert("RGB").resize((size_px, size_px), Image.Resampling.BICUBIC))


def gray_from_rgb(rgb: np.ndarray, mel_size: tuple[int, int]) -> np.ndarray:
    """Gray mel image uint8 [m, n] of an audio image [H, W, 3]: the mean of its channels, brought to `mel_size` = (m, n).

    Where `rgb_from_gray` only enlarged (the paper's 80 x 100 to 256 x 256), the enlargement is undone by least squares: the mel
    whose image is nearest. Shrinking it by the same filter would blur it once more (0.66 dB of mean error on real sound, least
    squares 0.10: the eight bits alone). Where it shrank, nothing can be undone, and noise would grow.
    """
    gray = rgb.astype(np.float32).mean(axis=2)
    if gray.shape[0] >= mel_size[0] and gray.shape[1] >= mel_size[1]:
        nearest = _shrinking(mel_size[0], gray.shape[0]) @ gray @ _shrinking(mel_size[1], gray.shape[1]).T
        return np.clip(np.rint(nearest), 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(np.rint(gray).astype(np.uint8)).resize((mel_size[1], mel_size[0]), Image.Resampling.BICUBIC))


@lru_cache(maxsize=8)
def _shrinking(length: int, enlarged: int) -> np.ndarray:
    """Float64 [length, enlarged]: the least squares inverse of Pillow's bicubic resize of one side from `length` to `enlarged`."""
    responses = Image.fromarray(np.eye(length, dtype=np.float32)).resize((enlarged, length), Image.Resampling.BICUBIC)
    return np.linalg.pinv(np.asarray(responses).T.astype(np.float64))
