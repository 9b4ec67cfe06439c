"""Two views of one clip, for the contrastive training: what makes them differ must not decide what a clip is.

Framing, brightness and contrast of the picture; loudness, colour and a gap of the sound. Order in time, sharpness and noise are kept: the
features must go on noticing them.
"""

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F


def video_view(frames: Tensor, random: np.random.Generator) -> Tensor:
    """uint8 [f, h, w, 3] -> the same shape: a part of the picture, mirrored or not, brighter or darker."""
    height, width = frames.shape[1:3]
    share = random.uniform(0.7, 1.0)
    h, w = max(4, round(share * height)), max(4, round(share * width))
    top, left = int(random.integers(height - h + 1)), int(random.integers(width - w + 1))
    part = rearrange(frames[:, top:top + h, left:left + w].float(), "f h w c -> f c h w")
    images = F.interpolate(part, size=(height, width), mode="bilinear", align_corners=False)
    if random.random() < 0.5:
        images = images.flip(3)
    images = (images - 127.5) * random.uniform(0.7, 1.3) + 127.5 + random.uniform(-25, 25)
    return rearrange(images.clamp(0, 255).round().to(torch.uint8), "f c h w -> f h w c")


def audio_view(mel: Tensor, random: np.random.Generator) -> Tensor:
    """float32 [m, t] (`networks.log_mel`) -> the same shape: louder or softer, tilted towards high or low pitch, a few bands silent."""
    bands = mel.shape[0]
    tilt = torch.linspace(-1, 1, bands)[:, None] * random.uniform(-0.3, 0.3)
    view = mel + random.uniform(-0.4, 0.4) + tilt
    first, count = int(random.integers(bands)), int(random.integers(bands // 8 + 1))
    view[first:first + count] = mel.min()
    return view
