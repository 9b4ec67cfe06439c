"""From a picture of any size to the square that the networks see."""

from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

SMALL_PX = 128 * 128
"""Pictures up to this size go through Pillow, whose arithmetic is exact; larger ones through torch, which takes a quarter of the time and
differs from it by one level in one of 300 values."""


def fit_picture(picture: np.ndarray, shown_px: tuple[int, int], size_px: int, fit: Literal["pad", "crop"]) -> np.ndarray:
    """uint8 [size, size, 3]; bicubic (a = -0.5), low-passed when it shrinks.

    Args:
        picture: uint8 [height, width, 3].
        shown_px: (width, height) as shown; its shape differs from the picture's where pixels are not square.
        size_px: side of the square.
        fit: "pad" resizes to fit and centres on black (MM-LDM's published settings); "crop" fills and cuts the centre.
    """
    (width, height), (stored_height, stored_width) = shown_px, picture.shape[:2]
    if fit == "crop":
        side = min(width, height)
        part_x, part_y = round(side / width * stored_width), round(side / height * stored_height)
        left, top = (stored_width - part_x) // 2, (stored_height - part_y) // 2
        return _resized(picture[top:top + part_y, left:left + part_x], (size_px, size_px))
    scale = size_px / max(width, height)
    inner = (max(round(width * scale), 1), max(round(height * scale), 1))
    square = np.zeros((size_px, size_px, 3), np.uint8)
    left, top = (size_px - inner[0]) // 2, (size_px - inner[1]) // 2
    square[top:top + inner[1], left:left + inner[0]] = _resized(picture, inner)
    return square


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = picture.shape[:2]
    if height * width <= SMALL_PX:
        return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0))
    channels_last = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    resized = interpolate(channels_last, size=(size[1], size[0]), mode="bicubic", antialias=True)
    return resized[0].permute(1, 2, 0).numpy()
