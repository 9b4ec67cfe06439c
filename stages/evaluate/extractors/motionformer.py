"""Motionformer with divided attention, Synchformer's seeing part, with the names of its published weights (Patrick et al. 2021).

Legend: b segments of 16 frames, t = 8 moments of two frames, p = 196 places of 16 x 16 pixels, c width of a head, d width.
"""

from typing import Literal

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from stages.evaluate.extractors.pooled_by_token import PooledByToken

FRAMES, INPUT_PX, PATCH_PX, PATCH_FRAMES = 16, 224, 16, 2
MOMENTS, PLACES = FRAMES // PATCH_FRAMES, (INPUT_PX // PATCH_PX) ** 2
FOLDED = {"time": "b h (t p) c -> (b p) h t c", "space": "b h (t p) c -> (b t) h p c"}
UNFOLDED = {"time": "(b p) h t c -> b h (t p) c", "space": "(b t) h p c -> b h (t p) c"}


class Motionformer(nn.Module):
    """Segments of a video to one feature for each moment."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        size = (PATCH_FRAMES, PATCH_PX, PATCH_PX)
        self.patch_embed_3d = nn.ModuleDict({"proj": nn.Conv3d(3, width, size, size)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + PLACES, width))
        self.temp_embed = nn.Parameter(torch.zeros(1, MOMENTS, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.spatial_attn_agg = PooledByToken(width, heads)

    def forward(self, x: Tensor) -> Tensor:
        """x float32 [b, 3, 16, 224, 224] in [-1, 1] -> [b, 8, d]."""
        patches = rearrange(self.patch_embed_3d["proj"](x), "b d t h w -> b (t h w) d")
        where = (self.temp_embed[:, :, None] + self.pos_embed[:, None, 1:]).flatten(1, 2)   # (1, t p, d)
        first = (self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1)
        x = torch.cat([first, patches + where], dim=1)                                      # (b, 1 + t p, d)
        for block in self.blocks:
            x = block(x)
        x = rearrange(self.norm(x[:, 1:]), "b (t p) d -> (b t) p d", t=MOMENTS)
        return self.spatial_attn_agg.pooled(x).unflatten(0, (-1, MOMENTS))


class Block(nn.Module):
    """Attention over the moments of a place, then over the places of a moment, then a perceptron of four times the width."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.timeattn, self.attn = DividedAttention(width, heads), DividedAttention(width, heads)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width, eps=1e-6) for _ in range(3))
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, x: Tensor) -> Tensor:
        """[b, 1 + t p, d] -> the same."""
        x = x + self.timeattn(self.norm3(x), "time")
        x = x + self.attn(self.norm1(x), "space")
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class DividedAttention(nn.Module):
    """Attention within time or space, where every token sees the class token too; the class token sees all of them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, along: Literal["time", "space"]) -> Tensor:
        """[b, 1 + t p, d] -> the same."""
        query, key, value = rearrange(self.qkv(x), "b n (three h c) -> three b h n c", three=3, h=self.heads)
        first = F.scaled_dot_product_attention(query[:, :, :1], key, value)                 # (b, h, 1, c)
        groups = PLACES if along == "time" else MOMENTS
        queries, keys, values = (rearrange(part[:, :, 1:], FOLDED[along], t=MOMENTS) for part in (query, key, value))
        keys, values = (torch.cat([repeat(part[:, :, :1], "b h one c -> (b r) h one c", r=groups), folded], dim=2)
                        for part, folded in ((key, keys), (value, values)))
        others = rearrange(F.scaled_dot_product_attention(queries, keys, values), UNFOLDED[along], b=len(x))
        return self.proj(rearrange(torch.cat([first, others], dim=2), "b h n c -> b n (h c)"))
