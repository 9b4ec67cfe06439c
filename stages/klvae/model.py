"""The KL-VAE (diffusers `AutoencoderKL`, or `AutoencoderTiny`) behind its one door, which owns the latent's scale.

Shapes: b images, c latent channels, h = H / f.
"""

import math
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from torch import Tensor, nn

from pipeline.contracts.outputs import require_whole
from pipeline.params import KLLatentParams, KLVAEParams
from pipeline.shared_batch import own_noise
from stages.klvae.weights import ImageAutoencoder, open_autoencoder

MIN_LOGVAR, MAX_LOGVAR = -30.0, 20.0  # diffusers' DiagonalGaussianDistribution clamps to the same range


class KLVAE(nn.Module):
    """Encode images to moments of the scaled latent, decode scaled latents to images.

    The scaled latent is (latent - shift) x scale by the network's own config; its standard deviation is about 1 (Stable
    Diffusion: scale 0.18215, shift 0). `AutoencoderTiny` (TAESD) has no posterior: its log-variance is the smallest there is.
    """

    def __init__(self, autoencoder: ImageAutoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    @property
    def latent_channels(self) -> int:
        """c."""
        return int(self.autoencoder.config["latent_channels"])

    @property
    def factor(self) -> int:
        """f: pixels of a side to one of the latent."""
        widths = "encoder_block_out_channels" if isinstance(self.autoencoder, AutoencoderTiny) else "block_out_channels"
        return int(2 ** (len(self.autoencoder.config[widths]) - 1))

    @property
    def scale(self) -> float:
        """What the latent is multiplied with, after `shift` is taken away."""
        return float(self.autoencoder.config["scaling_factor"])

    @property
    def shift(self) -> float:
        """What is taken away from the latent, 0 for most."""
        return float(self.autoencoder.config["shift_factor"] or 0.0)

    def encode(self, images: Tensor) -> Tensor:
        """Moments [b, 2c, h, w] (mean, log-variance) of the scaled latent of images [b, 3, H, W] in [-1, 1]."""
        if isinstance(self.autoencoder, AutoencoderTiny):
            mean = self.autoencoder.encode(images).latents
            logvar = torch.full_like(mean, MIN_LOGVAR)
        else:
            posterior = self.autoencoder.encode(images).latent_dist
            mean, logvar = posterior.mean, posterior.logvar + 2 * math.log(self.scale)
        return torch.cat([(mean - self.shift) * self.scale, logvar.clamp(MIN_LOGVAR, MAX_LOGVAR)], dim=1)

    def decode(self, latents: Tensor) -> Tensor:
        """Images [b, 3, H, W], about [-1, 1], of scaled latents [b, c, h, w]; differentiable."""
        return self.autoencoder.decode(latents / self.scale + self.shift).sample

    def reconstruct(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """For training: images decoded from a draw of the posterior, and the divergence [b] from N(0, 1), in nats (Tiny: 0)."""
        if isinstance(self.autoencoder, AutoencoderTiny):
            latents = self.autoencoder.encode(images).latents
            divergence = latents.new_zeros(len(latents))
        else:
            posterior = self.autoencoder.encode(images).latent_dist
            latents, divergence = posterior.mean + posterior.std * own_noise(posterior.mean), posterior.kl()
        return self.autoencoder.decode(latents).sample, divergence


def load(path: Path, device: torch.device | None = None) -> KLVAE:
    """The KL-VAE of a finished klvae stage, frozen and in eval mode.

    Raises:
        DataError: the stage has not finished.
        WeightsError: its files are damaged.
    """
    return open_folder(require_whole(path), device)


def open_folder(folder: Path, device: torch.device | None = None) -> KLVAE:
    """The same of an exported folder, which carries no mark of a stage."""
    return KLVAE(open_autoencoder(folder, str(folder))).eval().requires_grad_(False).to(device or torch.device("cpu"))


def build_scratch(klvae: KLVAEParams, kl_latent: KLLatentParams) -> AutoencoderKL:
    """A fresh `AutoencoderKL` of the sizes in params."""
    levels = len(klvae.block_channels)
    return AutoencoderKL(
        in_channels=3, out_channels=3, down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=klvae.block_channels, layers_per_block=klvae.layers_per_block, latent_channels=kl_latent.channels,
        norm_num_groups=math.gcd(32, *klvae.block_channels), mid_block_add_attention=False, scaling_factor=1.0)
