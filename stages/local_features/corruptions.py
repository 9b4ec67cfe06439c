"""Ways of being wrong that a classifier of classes alone would not notice; the local extractors learn to tell them too.

Measured on a synthetic set of two classes: features trained on classes alone moved less under strong pixel noise than between two
draws of real clips, so that a distance of such features is blind to quality. Samples of video-sound generators fail by noise, blur,
ghosts of two scenes, and motion that does not follow.
"""

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

VIDEO = ("none", "noise", "blur", "ghost", "shuffled", "frozen")
AUDIO = ("none", "noise", "smeared", "ghost", "shuffled")


def corrupt_video(frames: Tensor, other: Tensor, kind: str, random: np.random.Generator) -> Tensor:
    """One window's frames, wrong in one way, by a random strength.

    Args:
        frames: uint8 [f, h, w, 3].
        other: another window, of the same shape.
        kind: one of VIDEO.

    Returns:
        uint8 [f, h, w, 3].
    """
    if kind == "noise":
        noise = torch.from_numpy(random.standard_normal(frames.shape, dtype=np.float32)) * random.uniform(6, 60)
        return (frames + noise).clamp(0, 255).to(torch.uint8)
    if kind == "blur":
        images = rearrange(frames, "f h w c -> f c h w").float()
        small = F.interpolate(images, scale_factor=1 / int(random.integers(2, 7)), mode="area", recompute_scale_factor=True)
        images = F.interpolate(small, size=images.shape[2:], mode="bilinear", align_corners=False)
        return rearrange(images, "f c h w -> f h w c").round().to(torch.uint8)
    if kind == "ghost":
        share = random.uniform(0.25, 0.5)
        return ((1 - share) * frames + share * other).round().to(torch.uint8)
    if kind == "shuffled":
        return frames[random.permutation(len(frames))]
    if kind == "frozen":
        return frames[int(random.integers(len(frames)))].expand_as(frames).clone()
    return frames


def corrupt_audio(mel: Tensor, other: Tensor, kind: str, random: np.random.Generator) -> Tensor:
    """One window's log-mel, wrong in one way, by a random strength.

    Args:
        mel: float32 [m, t], natural logarithm of magnitudes, scaled as by `classifiers.log_mel`.
        other: another window, of the same shape.
        kind: one of AUDIO.

    Returns:
        float32 [m, t].
    """
    if kind == "noise":
        noise = torch.from_numpy(np.abs(random.standard_normal(mel.shape)).astype(np.float32)).clamp(min=1e-3).log() / 4
        return torch.logaddexp(4 * mel, 4 * (noise + random.uniform(-1.0, 0.6))) / 4
    if kind == "smeared":
        width = 2 * int(random.integers(1, 6)) + 1
        return F.avg_pool1d(mel, width, stride=1, padding=width // 2, count_include_pad=False)
    if kind == "ghost":
        return torch.logaddexp(4 * mel, 4 * other) / 4
    if kind == "shuffled":
        blocks = torch.chunk(mel, 12, dim=1)
        return torch.cat([blocks[i] for i in random.permutation(len(blocks))], dim=1)
    return mel
