"""What steers the signal decoder (paper 3.1, figure 3b): multi-scale features, the pooled latent, and the context.

Shapes: b windows, k images of each (1 for audio), n = b k; C latent channels, d semantic channels, e time embedding.
Every path from a latent ends in a zero-initialised layer, so a pretrained U-Net starts as it was.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from pipeline.params import SignalDecoderParams
from stages.autoencoder.blocks import ResidualBlock, sinusoidal_embedding, zero_init


@dataclass(slots=True)
class Conditions:
    """Conditions of n images; the null condition of guidance is all of it at zero."""

    features: list[Tensor]
    """Per input block of the U-Net, [n, block's channels, block's side, same]: added to the block's output."""
    pooled: Tensor
    """[n, e], added to the time embedding."""
    context: Tensor
    """[n, tokens, d] for cross-attention."""
    coarse: Tensor
    """Regression decode [n, c, h, w]; zero channels without one."""

    def kept(self, keep: Tensor) -> "Conditions":
        """Null conditions where keep [n] is 0, the same where it is 1."""
        def mask(x: Tensor) -> Tensor:
            return x * keep.view(-1, *[1] * (x.dim() - 1)).to(x.dtype)

        return Conditions([mask(x) for x in self.features], mask(self.pooled), mask(self.context), mask(self.coarse))

    def rows(self, part: slice) -> "Conditions":
        """Conditions of some of the images."""
        return Conditions([x[part] for x in self.features], self.pooled[part], self.context[part], self.coarse[part])

    @staticmethod
    def join(parts: list["Conditions"]) -> "Conditions":
        """One after the other; shorter contexts end in zero tokens."""
        tokens = max(part.context.shape[1] for part in parts)
        context = torch.cat([F.pad(part.context, (0, 0, 0, tokens - part.context.shape[1])) for part in parts])
        features = [torch.cat(maps) for maps in zip(*(part.features for part in parts), strict=True)]
        return Conditions(features, torch.cat([p.pooled for p in parts]), context, torch.cat([p.coarse for p in parts]))


class ModalityConditions(nn.Module):
    """The conditions of one modality's images."""

    def __init__(self, params: SignalDecoderParams, latent_channels: int, context_dim: int, block_channels: list[int],
                 time_dim: int, *, framed: bool) -> None:
        """Args:
            block_channels: channels of each input block of the U-Net.
            time_dim: width of its time embedding.
            framed: images are frames with an index, as the audio image is not.
        """
        super().__init__()
        width = params.feature_channels
        self.conv_in = nn.Conv2d(latent_channels, width, 3, padding=1)
        self.position = nn.Linear(width // 2 * 2, width).requires_grad_(framed)  # a gradient that never comes would stall processes
        self.blocks = nn.ModuleList(ResidualBlock(width, width) for _ in block_channels)
        self.zero_convs = nn.ModuleList(zero_init(nn.Conv2d(width, channels, 1)) for channels in block_channels)
        self.pooled = nn.Sequential(nn.Linear(latent_channels, time_dim), nn.SiLU(), zero_init(nn.Linear(time_dim, time_dim))) \
            if params.pooled_latent else None
        self.prompt = nn.Parameter(0.02 * torch.randn(params.num_prompt_tokens, context_dim))
        self.semantic = nn.Sequential(nn.Linear(context_dim, context_dim), nn.SiLU(), zero_init(nn.Linear(context_dim, context_dim))) \
            if params.semantic_context else None
        self.time_dim = time_dim

    def forward(self, latent: Tensor, positions: Tensor | None, class_token: Tensor | None, other: Tensor, sides: list[int],
                coarse: Tensor) -> Conditions:
        """Conditions of the n = b k images of b windows.

        Args:
            latent: z of this modality [b, C, h, w].
            positions: normalised index of each wanted frame [b, k]; None for the audio image (k = 1).
            class_token: class embedding [b, d], or None.
            other: semantic feature of the OTHER modality [b, d, h', w'].
            sides: side of each input block's map.
            coarse: [n, c or 0, H, W].
        """
        k = 1 if positions is None else positions.shape[1]
        hidden = repeat(self.conv_in(latent), "b c h w -> (b k) c h w", k=k)
        if positions is not None:
            place = self.position(sinusoidal_embedding(positions, self.position.in_features))
            hidden = hidden + rearrange(place, "b k c -> (b k) c 1 1")
        features = [resize(zero(block(hidden)), side) for block, zero, side in zip(self.blocks, self.zero_convs, sides, strict=True)]
        pooled = latent.new_zeros(len(latent), self.time_dim) if self.pooled is None else self.pooled(latent.mean(dim=(2, 3)))
        tokens: list[Tensor] = [repeat(self.prompt, "t d -> b t d", b=len(latent))]
        if class_token is not None:
            tokens.append(class_token[:, None])
        if self.semantic is not None:
            tokens.append(self.semantic(rearrange(other, "b d h w -> b (h w) d")))
        context = torch.cat(tokens, dim=1)
        if context.shape[1] == 0:  # cross-attention needs something to look at
            context = context.new_zeros(len(latent), 1, context.shape[2])
        return Conditions(features, pooled.repeat_interleave(k, dim=0), context.repeat_interleave(k, dim=0), coarse)


def resize(x: Tensor, side: int) -> Tensor:
    """[n, c, h, w] -> [n, c, side, side], by means or by repetition (bilinear resizing has no deterministic gradient on CUDA)."""
    height = x.shape[-1]
    if height > side and height % side == 0:
        return F.avg_pool2d(x, height // side)
    return x if height == side else F.interpolate(x, size=(side, side), mode="nearest")
