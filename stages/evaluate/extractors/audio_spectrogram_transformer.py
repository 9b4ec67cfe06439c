"""Audio spectrogram transformer, Synchformer's hearing part, with the names of its published weights (Gong et al. 2021).

Legend: b segments of 0.64 s, f = 12 overlapping bands and t = 6 overlapping moments of 16 x 16 points, c width of a head, d width.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from stages.evaluate.extractors.pooled_by_token import PooledByToken

MEL_BANDS, MEL_COLUMNS, PATCH, STRIDE = 128, 66, 16, 10
BANDS, MOMENTS = ((size - PATCH) // STRIDE + 1 for size in (MEL_BANDS, MEL_COLUMNS))


class SpectrogramTransformer(nn.Module):
    """Segments of sound to one feature for each moment."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.ast = Tokens(width, depth, heads)
        self.freq_attn_agg = PooledByToken(width, heads)

    def forward(self, x: Tensor) -> Tensor:
        """x float32 [b, 128, 66] -> [b, 6, d]."""
        x = rearrange(self.ast(x)[:, 2:], "b (f t) d -> (b t) f d", t=MOMENTS)
        return self.freq_attn_agg.pooled(x).unflatten(0, (-1, MOMENTS))


class Tokens(nn.Module):
    """What is heard at each band and moment, behind the tokens of class and distillation."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.embeddings = Embeddings(width)
        self.encoder = nn.ModuleDict({"layer": nn.Sequential(*(Layer(width, heads) for _ in range(depth)))})
        self.layernorm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor) -> Tensor:
        """x float32 [b, 128, 66] -> [b, 2 + f t, d]."""
        return self.layernorm(self.encoder["layer"](self.embeddings(x)))


class Embeddings(nn.Module):
    """Patches of the mel image, two tokens before them, learned positions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cls_token, self.distillation_token = (nn.Parameter(torch.zeros(1, 1, width)) for _ in range(2))
        self.position_embeddings = nn.Parameter(torch.zeros(1, 2 + BANDS * MOMENTS, width))
        self.patch_embeddings = nn.ModuleDict({"projection": nn.Conv2d(1, width, PATCH, STRIDE)})

    def forward(self, x: Tensor) -> Tensor:
        """[b, 128, 66] -> [b, 2 + f t, d]."""
        patches = self.patch_embeddings["projection"](x[:, None]).flatten(2).transpose(1, 2)
        first = torch.cat([self.cls_token, self.distillation_token], dim=1).expand(len(x), -1, -1)
        return torch.cat([first, patches], dim=1) + self.position_embeddings


class Layer(nn.Module):
    """Attention and a perceptron of four times the width, each behind a normalisation."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.layernorm_before, self.layernorm_after = (nn.LayerNorm(width, eps=1e-12) for _ in range(2))
        self.attention = Attention(width, heads)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, 4 * width)})
        self.output = nn.ModuleDict({"dense": nn.Linear(4 * width, width)})

    def forward(self, x: Tensor) -> Tensor:
        """[b, n, d] -> the same."""
        x = x + self.attention(self.layernorm_before(x))
        return x + self.output["dense"](F.gelu(self.intermediate["dense"](self.layernorm_after(x))))


class Attention(nn.Module):
    """Every token sees every other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.output = nn.ModuleDict({"dense": nn.Linear(width, width)})

    def forward(self, x: Tensor) -> Tensor:
        """[b, n, d] -> the same."""
        query, key, value = (rearrange(self.attention[name](x), "b n (h c) -> b h n c", h=self.heads) for name in ("query", "key", "value"))
        return self.output["dense"](rearrange(F.scaled_dot_product_attention(query, key, value), "b h n c -> b n (h c)"))
