"""The two heads that make s_a and s_v semantic: classification and contrastive (paper 3.1, Eq. 1)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.params import HeadsParams
from stages.autoencoder.blocks import group_norm

MAX_SCALE = 100.0
"""Largest factor on the similarities (a temperature of 0.01), as in CLIP: beyond it a batch decides everything."""


class ClassificationHead(nn.Module):
    """The class of a pair (s_a, s_v)."""

    def __init__(self, params: HeadsParams, semantic_channels: int, num_classes: int) -> None:
        super().__init__()
        width = params.hidden_channels
        self.audio = _tower(semantic_channels, width)
        self.video = _tower(semantic_channels, width)
        self.mix = nn.Sequential(nn.Conv1d(width, width, 1), group_norm(width), nn.SiLU())
        self.out = nn.Linear(width, num_classes)

    def forward(self, s_a: Tensor, s_v: Tensor) -> Tensor:
        """s_a, s_v [b, d, h, w] (each of its own size) -> logits [b, num_classes]."""
        tokens = torch.cat([self.audio(s_a).flatten(2), self.video(s_v).flatten(2)], dim=2)  # (b, width, n_a + n_v)
        return self.out(self.mix(tokens).mean(dim=2))                                        # (b, num_classes)


class ContrastiveHead(nn.Module):
    """f_co of Eq. (1), one for both modalities, and the learnable temperature."""

    def __init__(self, params: HeadsParams, semantic_channels: int) -> None:
        super().__init__()
        width = params.hidden_channels
        self.layers = nn.Sequential(
            nn.Conv2d(semantic_channels, width, 3, padding=1), group_norm(width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1),
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, params.contrastive_dim, 1), nn.Flatten())
        # Eq. (1) prints tau as a factor on the similarities; the factor is 1 / temperature and its log is learnt, so it stays positive.
        self.log_scale = nn.Parameter(torch.tensor([-math.log(params.temperature)]))  # one axis: FSDP shards no scalar

    def forward(self, s: Tensor) -> Tensor:
        """s_a or s_v [b, d, h, w] -> a unit vector each, [b, contrastive_dim]."""
        return F.normalize(self.layers(s).float(), dim=1)

    @property
    def scale(self) -> Tensor:
        """tau of Eq. (1)."""
        return self.log_scale.exp().clamp(max=MAX_SCALE)


def _tower(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))
