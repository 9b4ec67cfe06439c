"""How near the autoencoder's reconstructions are to their originals, picture by picture: PSNR and SSIM."""

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from stages.evaluate.figures import NotComputable

MOST_PSNR_DB = 100.0
SSIM_WINDOW_PX = 11


def psnr_db(images: np.ndarray, originals: np.ndarray) -> float:
    """Mean PSNR over items.

    Args:
        images: uint8 [n, ...] in [0, 255]; one item is a whole window (all its frames) or one audio image.
        originals: the same shape.

    Returns:
        dB; an item without any error counts as 100 dB.
    """
    _require_same(images, originals)
    ratios = peak_signal_noise_ratio(_unit(images).flatten(1), _unit(originals).flatten(1), data_range=1.0, dim=1, reduction="none")
    return float(torch.clamp(ratios, max=MOST_PSNR_DB).mean())


def ssim(images: np.ndarray, originals: np.ndarray) -> float:
    """Mean structural similarity (11 x 11 Gaussian window) over images.

    Args:
        images: uint8 [n, h, w, 3] or gray [n, h, w] in [0, 255].
        originals: the same shape.

    Returns:
        At most 1.

    Raises:
        NotComputable: the images are smaller than the window.
    """
    _require_same(images, originals)
    if min(images.shape[1:3]) < SSIM_WINDOW_PX:
        raise NotComputable(f"needs images of {SSIM_WINDOW_PX} px or more on each side, they are {images.shape[1]} x {images.shape[2]}")
    x, y = (rearrange(_unit(a), "n h w c -> n c h w") if a.ndim == 4 else _unit(a)[:, None] for a in (images, originals))
    value = structural_similarity_index_measure(x, y, data_range=1.0)
    assert isinstance(value, Tensor)
    return float(value)


def _unit(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images.astype(np.float32)) / 255


def _require_same(images: np.ndarray, originals: np.ndarray) -> None:
    if images.shape != originals.shape or not len(images):
        raise NotComputable(f"needs images of the originals' shape {originals.shape[1:]}, not {images.shape[1:]}; run: dvc repro sample")
