"""The regression decode of a whole window (not in the paper): z straight to the KL-VAE latents of every frame, or of the audio image.

With minutes of training a diffusion decoder alone shows no events; a squared error over ALL frames of every window
does, and the signal decoder then refines its answer. `autoencoder.signal_decoder.coarse_channels: 0` is the paper.
"""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from stages.autoencoder.blocks import FrameModulation, ResidualBlock, group_norm, self_attention

HEAD_DIM = 32


class CoarseDecoder(nn.Module):
    """Tokens (frame, place) by attention at the latent's resolution, then doublings of each frame alone.

    What happens when is decided where a window is a few dozen tokens, so width is cheap there.
    """

    def __init__(self, width: int, depth: int, latent_channels: int, latent_side: int, out_channels: int, out_side: int) -> None:
        super().__init__()
        heads = max(width // HEAD_DIM, 1)
        self.proj_in = nn.Linear(latent_channels, width)
        self.place = nn.Parameter(0.02 * torch.randn(latent_side**2, width))
        self.time = FrameModulation(width)
        self.blocks = nn.ModuleList(TokenBlock(width, heads) for _ in range(depth))
        doublings = round(math.log2(out_side / latent_side))
        self.upsample = nn.ModuleList(Doubling(width if i == 0 else width // 2, width // 2) for i in range(doublings))
        channels = width // 2 if doublings else width
        self.out = nn.Sequential(group_norm(channels), nn.SiLU(), nn.Conv2d(channels, out_channels, 3, padding=1))
        self.side = latent_side

    def forward(self, latent: Tensor, positions: Tensor) -> Tensor:
        """z [b, C, h, w] and normalised frame indices [F] -> KL-VAE latents [b, F, c, H, W]."""
        places = self.proj_in(rearrange(latent, "b c h w -> b (h w) c")) + self.place        # (b, hw, d)
        x = self.time(rearrange(places, "b n d -> b d 1 n 1"), positions)                    # (b, d, F, hw, 1)
        x = rearrange(x, "b d f n 1 -> b (f n) d")                                           # (b, F hw, d)
        for block in self.blocks:
            x = block(x)
        x = rearrange(x, "b (f h w) d -> (b f) d h w", f=len(positions), h=self.side)        # (b F, d, h, w)
        x = x.contiguous()  # as it is it counts as channels-last, in which group norm on the CPU is ten times slower
        for doubling in self.upsample:
            x = doubling(x)
        return rearrange(self.out(x), "(b f) c h w -> b f c h w", f=len(positions))          # (b, F, c, H, W)


class TokenBlock(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[b, n, d], same out."""
        x = x + self.out(self_attention(self.qkv(self.norm1(x)), self.heads))
        return x + self.narrow(F.gelu(self.wide(self.norm2(x)), approximate="tanh"))


class Doubling(nn.Module):
    """Twice the side: each place becomes four, then a residual block joins them."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(in_channels, 4 * out_channels, 1)
        self.block = ResidualBlock(out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> [n, c', 2h, 2w]."""
        return self.block(F.pixel_shuffle(self.expand(x), 2))
