"""Projectors from the perceptual latents to the shared semantic space (paper 3.1, figure 3a): z_a -> s_a, z_v -> s_v."""

from torch import Tensor, nn

from pipeline.params import ProjectorParams
from stages.autoencoder.blocks import ResidualBlock, group_norm


class Projector(nn.Module):
    """A residual net over a latent that it cannot move: the latent is detached here, in one place."""

    def __init__(self, params: ProjectorParams, latent_channels: int, semantic_channels: int) -> None:
        super().__init__()
        widths = [params.base_channels * mult for mult in params.channel_mult]
        layers: list[nn.Module] = [nn.Conv2d(latent_channels, widths[0], 3, padding=1)]
        channels = widths[0]
        for level, width in enumerate(widths):
            for _ in range(params.num_res_blocks):
                layers.append(ResidualBlock(channels, width))
                channels = width
            if level < len(widths) - 1:
                layers.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
        layers += [group_norm(channels), nn.SiLU(), nn.Conv2d(channels, semantic_channels, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, latent: Tensor) -> Tensor:
        """z [b, C, h, w] -> s [b, semantic_channels, h', w'], h' = h / 2^(resolutions - 1), rounded up."""
        return self.layers(latent.detach())
