"""The parts that the joint DiT and its continuation branch are made of.

Shapes: `b` batch, `c` channels of a latent, `h w` its sides, `n` tokens, `d` width, `p q` sides of a patch.
"""

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from pipeline.params import DiTParams
from stages.dit.positions import rotary_angles, rotate, sin_cos_positions

Shape = tuple[int, int, int]

CPU_ATTENTION = [SDPBackend.MATH]
"""PyTorch 2.11's fused CPU attention is slow backwards in bf16 for short sequences: 13.5 ms against 2.4 ms (64 x 11 tokens, one thread)."""
GPU_ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


class ModalityTokens(nn.Module):
    """One modality's latent as tokens: patches, positions, a vector of its own, perhaps a condition, [EOS] in front."""

    positions: Tensor
    angles: Tensor

    def __init__(self, params: DiTParams, shape: Shape, patch_size: int, *, conditioned: bool) -> None:
        super().__init__()
        width = params.hidden_size
        channels, height, self.columns = shape[0] * patch_size**2, shape[1] // patch_size, shape[2] // patch_size
        self.patch_size, self.num_tokens = patch_size, height * self.columns
        self.patch_embed = nn.Linear(channels, width)
        self.condition_embed = nn.Linear(channels, width) if conditioned else None
        self.modality_embed = nn.Parameter(torch.empty(width))
        self.eos = nn.Parameter(torch.empty(width))
        sin_cos = sin_cos_positions(height, self.columns, width)
        angles = rotary_angles(height, self.columns, width // params.num_heads)
        self.register_buffer("positions", sin_cos if params.positions == "sincos" else torch.zeros_like(sin_cos), persistent=False)
        self.register_buffer("angles", functional.pad(angles, (0, 0, 1, 0)), persistent=False)  # [EOS] lies nowhere

    def forward(self, latents: Tensor, condition: Tensor | None = None) -> Tensor:
        """Tokens [b, 1 + n, d] of a latent [b, c, h, w]."""
        x = self.patch_embed(self.patch(latents))                                        # (b, n, d)
        if self.condition_embed is not None:
            condition = torch.zeros_like(latents) if condition is None else condition
            x = x + self.condition_embed(self.patch(condition))
        x = x + self.positions + self.modality_embed
        return torch.cat([self.eos.expand(len(x), 1, -1).to(x.dtype), x], dim=1)         # (b, 1 + n, d)

    def patch(self, latents: Tensor) -> Tensor:
        """[b, c, h, w] -> [b, n, c p q], row by row."""
        return rearrange(latents, "b c (h p) (w q) -> b (h w) (c p q)", p=self.patch_size, q=self.patch_size)

    def unpatch(self, tokens: Tensor) -> Tensor:
        """The inverse of `patch`."""
        return rearrange(tokens, "b (h w) (c p q) -> b c (h p) (w q)", w=self.columns, p=self.patch_size, q=self.patch_size)


class Block(nn.Module):
    """Attention and MLP, each shifted, scaled and gated by the timestep (adaLN-Zero)."""

    repeated = True  # what pipeline/training_options.py works on

    def __init__(self, params: DiTParams) -> None:
        super().__init__()
        width, hidden = params.hidden_size, round(params.hidden_size * params.mlp_ratio)
        self.num_heads = params.num_heads
        head_dim = width // params.num_heads
        self.q_norm, self.k_norm = (nn.RMSNorm(head_dim, eps=1e-6) if params.qk_norm else nn.Identity() for _ in range(2))
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)  # no weights of its own, so one serves both
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.adaLN_modulation = nn.Linear(width, 6 * width)

    def forward(self, x: Tensor, t: Tensor, angles: Tensor | None) -> Tensor:
        """Tokens (b, n, d), the embedded timestep (b, d), rotary angles (n, d/2) or None -> tokens."""
        modulation = self.adaLN_modulation(functional.silu(t))[:, None].chunk(6, dim=-1)
        attention_shift, attention_scale, attention_gate, mlp_shift, mlp_scale, mlp_gate = modulation
        x = x + attention_gate * self.attention(modulate(self.norm(x), attention_shift, attention_scale), angles)
        return x + mlp_gate * self.mlp(modulate(self.norm(x), mlp_shift, mlp_scale))

    def attention(self, x: Tensor, angles: Tensor | None) -> Tensor:
        q, k, v = rearrange(self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.num_heads)
        q, k = self.q_norm(q), self.k_norm(k)
        if angles is not None:
            q, k = rotate(q, angles), rotate(k, angles)
        return self.out(rearrange(functional.scaled_dot_product_attention(q, k, v), "b h n d -> b n (h d)"))


class Head(nn.Module):
    """From a modality's last tokens to its patches."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.linear = nn.Linear(width, channels)
        self.adaLN_modulation = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(functional.silu(t))[:, None].chunk(2, dim=-1)
        return self.linear(modulate(self.norm(x), shift, scale))


class ZeroLinear(nn.Linear):
    """A linear layer that begins without effect (see `init_weights`)."""


class TimestepEmbedder(nn.Module):
    """Sinusoids of t through an MLP."""

    NUM_FREQUENCIES = 128

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * self.NUM_FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, timesteps: Tensor) -> Tensor:
        """[b, d] of timesteps [b]."""
        steps = torch.arange(self.NUM_FREQUENCIES, device=timesteps.device, dtype=torch.float32)
        angles = timesteps[:, None].float() * torch.exp(-math.log(10000) / self.NUM_FREQUENCIES * steps)
        return self.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1))


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x (1 + scale) + shift."""
    return x * (1 + scale) + shift


def attend(blocks: nn.ModuleList, x: Tensor, t: Tensor, angles: Tensor | None, injected: list[Tensor] | None = None) -> list[Tensor]:
    """The tokens (b, n, d) after every block.

    Args:
        injected: per block, what is added to the last tokens of its result, (b, n' <= n, d).
    """
    results = []
    with sdpa_kernel(CPU_ATTENTION if x.device.type == "cpu" else GPU_ATTENTION):
        for place, block in enumerate(blocks):
            x = block(x, t, angles)
            if injected is not None:
                added = injected[place]
                x = x + functional.pad(added, (0, 0, x.shape[1] - added.shape[1], 0))
            results.append(x)
    return results


def init_weights(network: nn.Module) -> None:
    """Zero gates make every block the identity and zero heads the first prediction zero (DiT's adaLN-Zero)."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
    for module in network.modules():
        if isinstance(module, (Block, Head)):
            nn.init.zeros_(module.adaLN_modulation.weight)
        if isinstance(module, Head):
            nn.init.zeros_(module.linear.weight)
        if isinstance(module, ModalityTokens):
            if module.condition_embed is not None:
                nn.init.zeros_(module.condition_embed.weight)  # the paper's zero convolution: conditions begin without effect
            nn.init.normal_(module.modality_embed, std=0.02)
            nn.init.normal_(module.eos, std=0.02)
        if isinstance(module, ZeroLinear):
            nn.init.zeros_(module.weight)
