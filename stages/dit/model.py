"""The joint diffusion transformer: one network that predicts the noise of audio and video latents together (paper 3.2, 3.3).

Shapes: `b` batch, `c` channels of a latent, `h w` its sides, `n` tokens, `d` width, `p q` sides of a patch.
The sequence is [class] [EOS_a] audio tokens [EOS_v] video tokens; every token attends to every other.
"""

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from pipeline.params import DiTParams

NULL_CLASS = -1
"""The class id that means "no class given"."""

Shape = tuple[int, int, int]

CPU_ATTENTION = [SDPBackend.MATH]
"""PyTorch 2.11's fused CPU attention is slow backwards in bf16 for short sequences: 13.5 ms against 2.4 ms (64 x 11 tokens, one thread)."""
GPU_ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


class JointDiT(nn.Module):
    """Predicts both modalities' noise (or velocity) from both noisy latents at one shared timestep."""

    def __init__(self, params: DiTParams, audio_shape: Shape, video_shape: Shape, num_classes: int) -> None:
        """Args:
            params: sizes; taken whole.
            audio_shape, video_shape: [c, h, w] of z_a and z_v.
            num_classes: classes that the context token can name (besides none).
        """
        super().__init__()
        self.params, self.audio_shape, self.video_shape, self.num_classes = params, audio_shape, video_shape, num_classes
        width = params.hidden_size
        self.audio = ModalityTokens(audio_shape, params.audio_patch_size, width)
        self.video = ModalityTokens(video_shape, params.video_patch_size, width)
        self.t_embedder = TimestepEmbedder(width)
        self.class_embed = nn.Embedding(num_classes + 1, width) if params.context == "class" else None  # the last one: no class
        self.blocks = nn.ModuleList(Block(params) for _ in range(params.depth))
        self.audio_head = Head(audio_shape[0] * params.audio_patch_size**2, width)
        self.video_head = Head(video_shape[0] * params.video_patch_size**2, width)
        self.init_weights()

    def forward(self, audio_latents: Tensor, video_latents: Tensor, timesteps: Tensor, *, audio_condition: Tensor | None = None,
                video_condition: Tensor | None = None, class_id: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The predictions for z_a^t and z_v^t.

        Args:
            audio_latents, video_latents: z_a^t [b, c, h, w], z_v^t, normalised.
            timesteps: t [b], 0 to 999, shared by both modalities.
            audio_condition, video_condition: clean z_a or z_v, normalised; zeros (a row) or None (all) is the null condition (paper 3.3).
            class_id: int64 [b]; NULL_CLASS or None: none given. Ignored by a network without class context.

        Returns:
            (audio, video), each of its latent's shape.
        """
        t = self.t_embedder(timesteps)                                                   # (b, d)
        tokens = [self.audio(audio_latents, audio_condition), self.video(video_latents, video_condition)]
        if self.class_embed is not None:
            ids = torch.full_like(timesteps, NULL_CLASS, dtype=torch.long) if class_id is None else class_id
            ids = torch.where(ids == NULL_CLASS, self.num_classes, ids)
            tokens.insert(0, self.class_embed(ids)[:, None])                             # (b, 1, d)
        x = torch.cat(tokens, dim=1)                                                     # (b, n, d), 322 in the paper and one for the class
        with sdpa_kernel(CPU_ATTENTION if x.device.type == "cpu" else GPU_ATTENTION):
            for block in self.blocks:
                x = block(x, t)
        num_video = self.video.num_tokens
        audio = self.audio_head(x[:, -num_video - 1 - self.audio.num_tokens : -num_video - 1], t)
        return self.audio.unpatch(audio), self.video.unpatch(self.video_head(x[:, -num_video:], t))

    @property
    def num_tokens(self) -> int:
        """Tokens of the sequence (paper: 64 + 256 + 2 EOS = 322, and one for the class)."""
        return self.audio.num_tokens + self.video.num_tokens + 2 + (self.class_embed is not None)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one forward pass of one sample: the blocks' linear layers and attention, as papers count "FLOPs"."""
        d, n = self.params.hidden_size, self.num_tokens
        per_token = (4 + 2 * self.params.mlp_ratio) * d * d + 2 * n * d
        return round(self.params.depth * (n * per_token + 6 * d * d))

    def init_weights(self) -> None:
        """Zero gates make every block the identity and zero heads the first prediction zero (DiT's adaLN-Zero)."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        for module in self.modules():
            if isinstance(module, (Block, Head)):
                nn.init.zeros_(module.adaLN_modulation.weight)
            if isinstance(module, Head):
                nn.init.zeros_(module.linear.weight)
            if isinstance(module, ModalityTokens):
                nn.init.zeros_(module.condition_embed.weight)  # the paper's zero convolution: conditions begin without effect
                nn.init.normal_(module.modality_embed, std=0.02)
                nn.init.normal_(module.eos, std=0.02)


class ModalityTokens(nn.Module):
    """One modality's latent as tokens: patches, positions, the modality's own vector, its condition, [EOS] in front."""

    def __init__(self, shape: Shape, patch_size: int, width: int) -> None:
        super().__init__()
        channels, height, self.columns = shape[0] * patch_size**2, shape[1] // patch_size, shape[2] // patch_size
        self.patch_size, self.num_tokens = patch_size, height * self.columns
        self.patch_embed = nn.Linear(channels, width)
        self.condition_embed = nn.Linear(channels, width)
        self.modality_embed = nn.Parameter(torch.empty(width))
        self.eos = nn.Parameter(torch.empty(width))
        self.register_buffer("positions", sin_cos_positions(height, self.columns, width), persistent=False)

    def forward(self, latents: Tensor, condition: Tensor | None) -> Tensor:
        """Tokens [b, 1 + n, d] of a latent [b, c, h, w]."""
        x = self.patch_embed(self.patch(latents))                                        # (b, n, d)
        condition = torch.zeros_like(latents) if condition is None else condition
        x = x + self.condition_embed(self.patch(condition)) + self.positions + self.modality_embed
        return torch.cat([self.eos.expand(len(x), 1, -1).to(x.dtype), x], dim=1)         # (b, 1 + n, d)

    def patch(self, latents: Tensor) -> Tensor:
        """[b, c, h, w] -> [b, n, c p q], row by row."""
        return rearrange(latents, "b c (h p) (w q) -> b (h w) (c p q)", p=self.patch_size, q=self.patch_size)

    def unpatch(self, tokens: Tensor) -> Tensor:
        """The inverse of `patch`."""
        return rearrange(tokens, "b (h w) (c p q) -> b c (h p) (w q)", w=self.columns, p=self.patch_size, q=self.patch_size)


class Block(nn.Module):
    """Attention and MLP, each shifted, scaled and gated by the timestep (adaLN-Zero)."""

    def __init__(self, params: DiTParams) -> None:
        super().__init__()
        width, hidden = params.hidden_size, round(params.hidden_size * params.mlp_ratio)
        self.num_heads = params.num_heads
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)  # no weights of its own, so one serves both
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.adaLN_modulation = nn.Linear(width, 6 * width)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        modulation = self.adaLN_modulation(functional.silu(t))[:, None].chunk(6, dim=-1)
        attention_shift, attention_scale, attention_gate, mlp_shift, mlp_scale, mlp_gate = modulation
        x = x + attention_gate * self.attention(modulate(self.norm(x), attention_shift, attention_scale))
        return x + mlp_gate * self.mlp(modulate(self.norm(x), mlp_shift, mlp_scale))

    def attention(self, x: Tensor) -> Tensor:
        q, k, v = rearrange(self.qkv(x), "b n (three h d) -> three b h n d", three=3, h=self.num_heads)
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


def sin_cos_positions(height: int, width: int, channels: int) -> Tensor:
    """Fixed positions [height * width, channels] of a grid: half of the channels for the row, half for the column."""
    rates = 10000 ** (-torch.arange(channels // 4) / (channels // 4))
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    angles = [position.flatten()[:, None] * rates for position in (rows, columns)]
    return torch.cat([function(a) for a in angles for function in (torch.sin, torch.cos)], dim=1)
