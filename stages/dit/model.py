"""The joint diffusion transformer: one network that predicts the noise of audio and video latents together (paper 3.2, 3.3).

Shapes: `b` batch, `c` channels of a latent, `h w` its sides, `n` tokens, `d` width, `p q` sides of a patch.
The sequence is [class] [EOS_a] audio tokens [EOS_v] video tokens; every token attends to every other. A network of one
modality (`task_mix`) has the tokens of that one alone.
"""

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from pipeline.params import DiTParams
from stages.dit.positions import rotary_angles, rotate, sin_cos_positions

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
        has_audio, has_video = params.task_mix != "video", params.task_mix != "audio"
        self.audio = ModalityTokens(params, audio_shape, params.audio_patch_size) if has_audio else None
        self.video = ModalityTokens(params, video_shape, params.video_patch_size) if has_video else None
        self.t_embedder = TimestepEmbedder(width)
        self.class_embed = nn.Embedding(num_classes + 1, width) if params.context == "class" else None  # the last one: no class
        self.blocks = nn.ModuleList(Block(params) for _ in range(params.depth))
        self.audio_head = Head(audio_shape[0] * params.audio_patch_size**2, width) if has_audio else None
        self.video_head = Head(video_shape[0] * params.video_patch_size**2, width) if has_video else None
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
            (audio, video), each of its latent's shape; zeros for a modality that the network does not generate.
        """
        t = self.t_embedder(timesteps)                                                   # (b, d)
        tokens = []
        if self.class_embed is not None:
            ids = torch.full(timesteps.shape, NULL_CLASS, device=t.device) if class_id is None else class_id
            ids = torch.where(ids == NULL_CLASS, self.num_classes, ids)
            tokens.append(self.class_embed(ids)[:, None])                                # (b, 1, d)
        if self.audio is not None:
            tokens.append(self.audio(audio_latents, audio_condition))
        if self.video is not None:
            tokens.append(self.video(video_latents, video_condition))
        x = torch.cat(tokens, dim=1)                                                     # (b, n, d), 322 in the paper and one for the class
        angles = self.angles(x.shape[1])
        with sdpa_kernel(CPU_ATTENTION if x.device.type == "cpu" else GPU_ATTENTION):
            for block in self.blocks:
                x = block(x, t, angles)
        return self.predictions(x, t, audio_latents, video_latents)

    def predictions(self, x: Tensor, t: Tensor, audio_latents: Tensor, video_latents: Tensor) -> tuple[Tensor, Tensor]:
        """From the last tokens (b, n, d): both heads, each on its own tokens."""
        audio, video = torch.zeros_like(audio_latents), torch.zeros_like(video_latents)
        end = x.shape[1]
        if self.video is not None and self.video_head is not None:
            video = self.video.unpatch(self.video_head(x[:, end - self.video.num_tokens :], t))
            end -= self.video.num_tokens + 1
        if self.audio is not None and self.audio_head is not None:
            audio = self.audio.unpatch(self.audio_head(x[:, end - self.audio.num_tokens : end], t))
        return audio, video

    def angles(self, num_tokens: int) -> Tensor | None:
        """Rotary angles (n, d/2) of the whole sequence; tokens without a place in a grid are not turned. None without RoPE."""
        if self.params.positions != "rope":
            return None
        own = torch.cat([tokens.angles for tokens in (self.audio, self.video) if tokens is not None])
        return functional.pad(own, (0, 0, num_tokens - len(own), 0))

    @property
    def num_tokens(self) -> int:
        """Tokens of the sequence (paper: 64 + 256 + 2 EOS = 322, and one for the class)."""
        return sum(tokens.num_tokens + 1 for tokens in (self.audio, self.video) if tokens is not None) + (self.class_embed is not None)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one forward pass of one sample; see `multiply_adds`."""
        return multiply_adds(self.params, self.num_tokens)

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

    positions: Tensor
    angles: Tensor

    def __init__(self, params: DiTParams, shape: Shape, patch_size: int) -> None:
        super().__init__()
        width = params.hidden_size
        channels, height, self.columns = shape[0] * patch_size**2, shape[1] // patch_size, shape[2] // patch_size
        self.patch_size, self.num_tokens = patch_size, height * self.columns
        self.patch_embed = nn.Linear(channels, width)
        self.condition_embed = nn.Linear(channels, width)
        self.modality_embed = nn.Parameter(torch.empty(width))
        self.eos = nn.Parameter(torch.empty(width))
        sin_cos = sin_cos_positions(height, self.columns, width)
        angles = rotary_angles(height, self.columns, width // params.num_heads)
        self.register_buffer("positions", sin_cos if params.positions == "sincos" else torch.zeros_like(sin_cos), persistent=False)
        self.register_buffer("angles", functional.pad(angles, (0, 0, 1, 0)), persistent=False)  # [EOS] lies nowhere

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


def multiply_adds(params: DiTParams, num_tokens: int, *, attention: bool = True) -> int:
    """Multiply-adds of one pass over one sample: the blocks' linear layers and attention, as papers count "FLOPs".

    Args:
        num_tokens: of the sequence.
        attention: False: the linear layers alone, as the MM-LDM paper's table seems to count them.
    """
    d = params.hidden_size
    per_token = (4 + 2 * params.mlp_ratio) * d * d + (2 * num_tokens * d if attention else 0)
    return round(params.depth * (num_tokens * per_token + 6 * d * d))
