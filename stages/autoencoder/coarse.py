"""The regression decode of a whole window (not in the paper): z straight to the KL-VAE latents of every frame, or of the audio image.

With minutes of training a diffusion decoder alone shows no events; a squared error over ALL frames of every window
does, and the signal decoder then refines its answer. `autoencoder.signal_decoder.coarse_channels: 0` is the paper.
"""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from stages.autoencoder.blocks import ResidualBlock, group_norm, self_attention

HEAD_DIM = 32


class CoarseDecoder(nn.Module):
    """Tokens (frame, place) by attention at the latent's resolution, then doublings of each frame alone.

    What happens when is decided where a window is a few dozen tokens, so width is cheap there.
    """

    def __init__(self, width: int, depth: int, num_frames: int, latent_channels: int, latent_side: int, out_channels: int,
                 out_side: int) -> None:
        super().__init__()
        heads = max(width // HEAD_DIM, 1)
        # Each frame reads the latent through weights of its own: motion is then linear in z, as it is in the encoder's readout.
        # On the demo's clips, where a window's mean frame leaves an error of 0.28, 200 steps came to 0.08; with one projection
        # and a vector that tells the time, 400 steps came to 0.15.
        self.proj_in = nn.Linear(latent_channels, num_frames * width)
        self.place = nn.Parameter(0.02 * torch.randn(latent_side**2, width))
        self.time = nn.Parameter(0.02 * torch.randn(num_frames, 1, width))
        self.blocks = nn.ModuleList(TokenBlock(width, heads) for _ in range(depth))
        doublings = round(math.log2(out_side / latent_side))
        self.upsample = nn.ModuleList(Doubling(width if i == 0 else width // 2, width // 2) for i in range(doublings))
        channels = width // 2 if doublings else width
        self.out = nn.Sequential(group_norm(channels), nn.SiLU(), nn.Conv2d(channels, out_channels, 3, padding=1))
        self.side = latent_side

    def forward(self, latent: Tensor) -> Tensor:
        """z [b, C, h, w] -> KL-VAE latents of every frame [b, F, c, H, W]."""
        num_frames = len(self.time)
        x = rearrange(self.proj_in(rearrange(latent, "b c h w -> b (h w) c")), "b n (f d) -> b f n d", f=num_frames)
        x = rearrange(x + self.time + self.place, "b f n d -> b (f n) d")                    # (b, F hw, d)
        for block in self.blocks:
            x = block(x)
        x = rearrange(x, "b (f h w) d -> (b f) d h w", f=num_frames, h=self.side)        # (b F, d, h, w)
        x = x.contiguous()  # as it is it counts as channels-last, in which group norm on the CPU is ten times slower
        for doubling in self.upsample:
            x = doubling(x)
        return rearrange(self.out(x), "(b f) c h w -> b f c h w", f=num_frames)          # (b, F, c, H, W)


class TokenBlock(nn.Module):
    """A pre-norm transformer block."""

    repeated = True

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
