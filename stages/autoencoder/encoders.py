"""Audio and video encoder: KL-VAE latents of a window to the posteriors of z_a and z_v (paper 3.1, figure 3a).

Shapes: b batch, c KL-VAE channels, t frames given, h w the KL-VAE latent's side, C latent channels.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from pipeline.params import EncoderParams
from pipeline.shared_batch import own_noise
from stages.autoencoder.blocks import Attention, Convolution, FrameModulation, ResidualBlock, convolution, group_norm

Readout = Literal["content_frame", "every_frame"]

FIRST_LOGVAR = -4.0
"""Log-variance of an untrained posterior: at 0 the noise drowns the mean and the first hundreds of steps learn nothing."""
MIN_LOGVAR, MAX_LOGVAR = -30.0, 20.0


@dataclass(slots=True)
class Posterior:
    """A diagonal Gaussian over a latent, mean and log-variance [b, C, h, w]."""

    mean: Tensor
    logvar: Tensor

    @classmethod
    def from_moments(cls, moments: Tensor) -> "Posterior":
        """Split [b, 2C, h, w] (mean, log-variance)."""
        mean, logvar = moments.float().chunk(2, dim=1)
        return cls(mean, logvar.clamp(MIN_LOGVAR, MAX_LOGVAR))

    @property
    def moments(self) -> Tensor:
        """[b, 2C, h, w]."""
        return torch.cat([self.mean, self.logvar], dim=1)

    def sample(self, items: int | None = None) -> Tensor:
        """A draw [b, C, h, w] (reparametrised; see pipeline/shared_batch.py, with `items` of the batch when a row is not one)."""
        return self.mean + (0.5 * self.logvar).exp() * own_noise(self.mean, items=items)


class AudioEncoder(nn.Module):
    """f_a-fold down-sampling of the audio image's KL-VAE latent, beside a learnable content map."""

    def __init__(self, params: EncoderParams, kl_channels: int, side: int) -> None:
        super().__init__()
        self.content = nn.Parameter(0.02 * torch.randn(kl_channels, side, side))
        widths = [params.base_channels * mult for mult in params.channel_mult]
        self.conv_in = nn.Conv2d(2 * kl_channels, widths[0], 3, padding=1)
        self.body = nn.Sequential(*_levels(params, widths, "2d"))
        self.to_moments = _moments(widths[-1], params.latent_channels)

    def forward(self, latents: Tensor) -> Tensor:
        """KL-VAE latent of the audio image -> moments of z_a.

        Args:
            latents: [b, c, h, w], standard deviation about 1; time to the right.

        Returns:
            [b, 2C, h / f_a, w / f_a]: mean, log-variance.
        """
        content = self.content.expand(len(latents), -1, -1, -1)
        x = self.conv_in(torch.cat([latents, content], dim=1))                  # (b, d, h, w)
        return self.to_moments(self.body(x))                                    # (b, 2C, h / f_a, w / f_a)


class VideoEncoder(nn.Module):
    """f_v-fold down-sampling of a window's frames into the place of one learnable content frame."""

    def __init__(self, params: EncoderParams, kl_channels: int, side: int, kind: Convolution, readout: Readout, num_frames: int) -> None:
        """Args:
            kl_channels, side: of the KL-VAE's latent.
            kind: convolutions over space and time.
            readout: "content_frame" (the paper), or "every_frame": what all `num_frames` frames hold is added to it.
            num_frames: frames given.
        """
        super().__init__()
        self.content = nn.Parameter(0.02 * torch.randn(kl_channels, side, side))
        widths = [params.base_channels * mult for mult in params.channel_mult]
        self.conv_in = nn.Conv3d(kl_channels, widths[0], (1, 3, 3), padding=(0, 1, 1))
        self.position = FrameModulation(widths[0])
        self.body = nn.Sequential(*_levels(params, widths, kind))
        # The content frame hears of the others through a few averages by attention; which frame did what takes thousands of
        # steps to come through. A linear readout of all frames learns it in a hundred.
        self.readout = nn.Linear((1 + num_frames) * widths[-1], widths[-1]) if readout == "every_frame" else None
        self.to_moments = _moments(widths[-1], params.latent_channels)

    def forward(self, latents: Tensor, positions: Tensor) -> Tensor:
        """KL-VAE latents of the key frames, or of all -> moments of z_v.

        Args:
            latents: [b, t, c, h, w].
            positions: [t] where in the window each frame is, 0 to 1.

        Returns:
            [b, 2C, h / f_v, w / f_v], read off the content frame's place (and every frame's, by `readout`).
        """
        first = self.content.expand(len(latents), 1, -1, -1, -1)
        x = self.conv_in(torch.cat([first, latents], dim=1).transpose(1, 2))  # (b, d, 1 + t, h, w)
        x = torch.cat([x[:, :, :1], self.position(x[:, :, 1:], positions)], dim=2)  # the content frame has no place in time
        x = self.body(x)                                                        # (b, d, 1 + t, h / f_v, w / f_v)
        content = x[:, :, 0]
        if self.readout is not None:
            content = content + self.readout(rearrange(x, "b d t h w -> b h w (t d)")).movedim(-1, 1)
        return self.to_moments(content)                                         # (b, 2C, h / f_v, w / f_v)


def _levels(params: EncoderParams, widths: list[int], kind: Convolution) -> list[nn.Module]:
    """Each resolution: residual blocks with attention over space (and over time for video), then a halving."""
    layers: list[nn.Module] = []
    channels = widths[0]
    for level, width in enumerate(widths):
        for _ in range(params.num_res_blocks):
            layers.append(ResidualBlock(channels, width, kind))
            layers.append(Attention(width, params.head_dim, "image" if kind == "2d" else "spatial"))
            if kind != "2d":
                layers.append(Attention(width, params.head_dim, "temporal"))
            channels = width
        if level < len(widths) - 1:
            layers.append(convolution(width, width, (3, 3) if kind == "2d" else (1, 3, 3), stride=2))
    return layers


def _moments(channels: int, latent_channels: int) -> nn.Sequential:
    last = nn.Conv2d(channels, 2 * latent_channels, 3, padding=1)
    nn.init.zeros_(last.weight[latent_channels:])
    nn.init.zeros_(last.bias[:latent_channels])  # type: ignore[index]
    nn.init.constant_(last.bias[latent_channels:], FIRST_LOGVAR)  # type: ignore[index]
    return nn.Sequential(group_norm(channels), nn.SiLU(), last)
