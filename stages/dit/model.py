"""The joint diffusion transformer: one network that predicts the noise of audio and video latents together (paper 3.2, 3.3).

Shapes: `b` batch, `c` channels of a latent, `h w` its sides, `n` tokens, `d` width, `p q` sides of a patch.
The sequence is [class or text] [EOS_a] audio tokens [EOS_v] video tokens; every token attends to every other. A network of one
modality (`task_mix`) has the tokens of that one alone; where the previous window is given, its tokens stand before both.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.params import DiTParams
from stages.dit.blocks import Block, Head, ModalityTokens, Shape, TimestepEmbedder, attend, init_weights
from stages.dit.continuation import PreviousBranch

NULL_CLASS = -1
"""The class id that means "no class given"."""

Previous = tuple[Tensor, Tensor]
"""z_a and z_v [b, c, h, w] of the window before, normalised; zeros for one that is not given."""


class JointDiT(nn.Module):
    """Predicts both modalities' noise (or velocity) from both noisy latents at one shared timestep."""

    def __init__(self, params: DiTParams, audio_shape: Shape, video_shape: Shape, num_classes: int,
                 text_shape: tuple[int, ...] = ()) -> None:
        """Args:
            params: sizes; taken whole.
            audio_shape, video_shape: [c, h, w] of z_a and z_v.
            num_classes: classes that the context token can name (besides none).
            text_shape: tokens and width of a text's embedding, for `context` text.
        """
        super().__init__()
        self.params, self.audio_shape, self.video_shape, self.num_classes = params, audio_shape, video_shape, num_classes
        self.text_shape = text_shape if params.context == "text" else ()
        width = params.hidden_size
        has_audio, has_video = params.task_mix != "video", params.task_mix != "audio"
        self.audio = ModalityTokens(params, audio_shape, params.audio_patch_size, conditioned=True) if has_audio else None
        self.video = ModalityTokens(params, video_shape, params.video_patch_size, conditioned=True) if has_video else None
        self.t_embedder = TimestepEmbedder(width)
        self.class_embed = nn.Embedding(num_classes + 1, width) if params.context == "class" else None  # the last one: no class
        self.text_embed = nn.Linear(text_shape[1], width) if params.context == "text" else None
        self.blocks = nn.ModuleList(Block(params) for _ in range(params.depth))
        self.audio_head = Head(audio_shape[0] * params.audio_patch_size**2, width) if has_audio else None
        self.video_head = Head(video_shape[0] * params.video_patch_size**2, width) if has_video else None
        self.previous = PreviousBranch(params, audio_shape, video_shape) if params.continuation_share else None
        init_weights(self)

    def forward(self, audio_latents: Tensor, video_latents: Tensor, timesteps: Tensor, *, audio_condition: Tensor | None = None,
                video_condition: Tensor | None = None, class_id: Tensor | None = None, text: Tensor | None = None,
                previous: Previous | None = None) -> tuple[Tensor, Tensor]:
        """The predictions for z_a^t and z_v^t.

        Args:
            audio_latents, video_latents: z_a^t [b, c, h, w], z_v^t, normalised.
            timesteps: t [b], 0 to 999, shared by both modalities.
            audio_condition, video_condition: clean z_a or z_v, normalised; zeros (a row) or None (all) is the null condition (paper 3.3).
            class_id: int64 [b]; NULL_CLASS or None: none given. Ignored by a network without class context.
            text: embeddings [b, tokens, width]; zeros (a row) or None (all): none given. Ignored by a network without text context.
            previous: the window before, of all samples or of none; only for a network with a `continuation_share`.

        Returns:
            (audio, video), each of its latent's shape; zeros for a modality that the network does not generate.
        """
        t = self.t_embedder(timesteps)                                                   # (b, d)
        tokens = []
        if self.class_embed is not None:
            ids = torch.full(timesteps.shape, NULL_CLASS, device=t.device) if class_id is None else class_id
            ids = torch.where(ids == NULL_CLASS, self.num_classes, ids)
            tokens.append(self.class_embed(ids)[:, None])                                # (b, 1, d)
        if self.text_embed is not None:
            embedded = t.new_zeros(len(t), *self.text_shape) if text is None else text.to(t.dtype)
            tokens.append(self.text_embed(embedded))                                     # (b, 77, d) in the published settings
        injected = None
        if previous is not None:
            assert self.previous is not None, "trained without continuation"
            tokens.append(self.previous.context(*previous))                              # (b, 322, d) in the paper
            injected = self.previous(audio_latents, video_latents, timesteps, *previous)
        if self.audio is not None:
            tokens.append(self.audio(audio_latents, audio_condition))
        if self.video is not None:
            tokens.append(self.video(video_latents, video_condition))
        x = torch.cat(tokens, dim=1)                                                     # (b, n, d), 322 in the paper and one for the class
        x = attend(self.blocks, x, t, self.angles(x.shape[1], previous is not None), injected)[-1]
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

    def angles(self, num_tokens: int, with_previous: bool) -> Tensor | None:
        """Rotary angles (n, d/2) of the whole sequence; tokens without a place in a grid are not turned. None without RoPE."""
        if self.params.positions != "rope":
            return None
        own = torch.cat([tokens.angles for tokens in (self.audio, self.video) if tokens is not None] * (2 if with_previous else 1))
        return functional.pad(own, (0, 0, num_tokens - len(own), 0))

    @property
    def num_tokens(self) -> int:
        """Tokens of the sequence (paper: 64 + 256 + 2 EOS = 322, and one for the class or 77 for the text)."""
        context = 1 if self.class_embed is not None else self.text_shape[0] if self.text_shape else 0
        return sum(tokens.num_tokens + 1 for tokens in (self.audio, self.video) if tokens is not None) + context

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one forward pass of one sample; see `multiply_adds`."""
        return multiply_adds(self.params, self.num_tokens)


def multiply_adds(params: DiTParams, num_tokens: int, *, attention: bool = True) -> int:
    """Multiply-adds of one pass over one sample: the blocks' linear layers and attention, as papers count "FLOPs".

    Args:
        num_tokens: of the sequence.
        attention: False: the linear layers alone, as the MM-LDM paper's table seems to count them.
    """
    d = params.hidden_size
    per_token = (4 + 2 * params.mlp_ratio) * d * d + (2 * num_tokens * d if attention else 0)
    return round(params.depth * (num_tokens * per_token + 6 * d * d))
