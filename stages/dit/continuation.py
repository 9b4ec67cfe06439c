"""The continuation branch: what came before, told to the joint DiT (paper 4.4 and the published settings).

A network as deep as the DiT sees the noisy latents and, beside them on the channel axis, those of the previous window; after
each block a zero-initialised linear layer adds its tokens to the DiT's. The previous latents are tokens of the context as well.
"""

import torch
from torch import Tensor, nn

from pipeline.params import DiTParams
from stages.dit.blocks import Block, ModalityTokens, Shape, TimestepEmbedder, ZeroLinear, attend


class PreviousBranch(nn.Module):
    """Features of the previous window for every block of the joint DiT, and its tokens."""

    def __init__(self, params: DiTParams, audio_shape: Shape, video_shape: Shape) -> None:
        super().__init__()
        width, self.positions = params.hidden_size, params.positions
        twice_audio, twice_video = ((2 * shape[0], *shape[1:]) for shape in (audio_shape, video_shape))
        self.context_audio = ModalityTokens(params, audio_shape, params.audio_patch_size, conditioned=False)
        self.context_video = ModalityTokens(params, video_shape, params.video_patch_size, conditioned=False)
        self.audio = ModalityTokens(params, twice_audio, params.audio_patch_size, conditioned=False)
        self.video = ModalityTokens(params, twice_video, params.video_patch_size, conditioned=False)
        self.t_embedder = TimestepEmbedder(width)
        self.blocks = nn.ModuleList(Block(params) for _ in range(params.depth))
        self.injections = nn.ModuleList(ZeroLinear(width, width) for _ in range(params.depth))

    def forward(self, audio_latents: Tensor, video_latents: Tensor, timesteps: Tensor, previous_audio: Tensor,
                previous_video: Tensor) -> list[Tensor]:
        """Per block, what is added to the tokens [EOS_a] ... of the DiT, (b, n, d).

        Args:
            audio_latents, video_latents: z_a^t, z_v^t [b, c, h, w].
            timesteps: t [b].
            previous_audio, previous_video: of the window before, clean; zeros: not given.
        """
        x = torch.cat([self.audio(torch.cat([audio_latents, previous_audio], dim=1)),
                       self.video(torch.cat([video_latents, previous_video], dim=1))], dim=1)
        angles = torch.cat([self.audio.angles, self.video.angles]) if self.positions == "rope" else None
        results = attend(self.blocks, x, self.t_embedder(timesteps), angles)
        return [injection(result) for injection, result in zip(self.injections, results, strict=True)]

    def context(self, previous_audio: Tensor, previous_video: Tensor) -> Tensor:
        """Tokens (b, n, d) of the previous window for the DiT's own sequence."""
        return torch.cat([self.context_audio(previous_audio), self.context_video(previous_video)], dim=1)
