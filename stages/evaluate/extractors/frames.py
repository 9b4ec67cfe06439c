"""Frames on their way into a network, by the formulas of the programs whose figures are compared; bilinear, not antialiased, as there."""

import math

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Normalisation of OpenAI's CLIP, which ImageBind shares."""


def stretched(frames: Tensor, size_px: int) -> Tensor:
    """Resized to a square, aspect not kept.

    Args:
        frames: uint8 or float [b, f, h, w, 3].

    Returns:
        float32 [b, 3, f, size, size] in the range that came in.
    """
    batch = frames.shape[0]
    images = rearrange(frames, "b f h w c -> (b f) c h w").float()
    images = F.interpolate(images, size=(size_px, size_px), mode="bilinear", align_corners=False)
    return rearrange(images, "(b f) c h w -> b c f h w", b=batch)


def short_side_cropped(frames: Tensor, size_px: int) -> Tensor:
    """The shorter side resized to `size_px`, the longer one in proportion (rounded up), and the middle square cut out.

    Args:
        frames: float [b, f, h, w, 3], scaled before as its program does.

    Returns:
        float32 [b, 3, f, size, size].
    """
    batch, _, height, width, _ = frames.shape
    scale = size_px / min(height, width)
    target = (size_px, math.ceil(width * scale)) if height < width else (math.ceil(height * scale), size_px)
    images = rearrange(frames, "b f h w c -> (b f) c h w").float()
    images = F.interpolate(images, size=target, mode="bilinear", align_corners=False)
    top, left = (images.shape[2] - size_px) // 2, (images.shape[3] - size_px) // 2
    images = images[:, :, top:top + size_px, left:left + size_px]
    return rearrange(images, "(b f) c h w -> b c f h w", b=batch)


def normalised(videos: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(x - mean) / std for each colour; videos [b, 3, f, h, w]."""
    shift, spread = (torch.tensor(values, dtype=videos.dtype, device=videos.device).view(1, 3, 1, 1, 1) for values in (mean, std))
    return (videos - shift) / spread
