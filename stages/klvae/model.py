"""The KL-VAE (diffusers `AutoencoderKL`) behind its one door, which owns the latent's scale.

Shapes: b images, c latent channels, h = H / f.
"""

import math
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn

from pipeline.contracts.outputs import require_whole
from pipeline.errors import ParamsError
from pipeline.params import KLLatentParams, KLVAEParams
from pipeline.pretrained import resolve

MIN_LOGVAR, MAX_LOGVAR = -30.0, 20.0  # diffusers' DiagonalGaussianDistribution clamps to the same range


class KLVAE(nn.Module):
    """Encode images to moments of the scaled latent, decode scaled latents to images."""

    def __init__(self, autoencoder: AutoencoderKL) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    @property
    def latent_channels(self) -> int:
        """c."""
        return int(self.autoencoder.config["latent_channels"])

    @property
    def factor(self) -> int:
        """f: pixels of a side to one of the latent."""
        return int(2 ** (len(self.autoencoder.config["block_out_channels"]) - 1))

    @property
    def scale(self) -> float:
        """The scaled latent is the KL-VAE's latent times this; its standard deviation is about 1 (SD: 0.18215)."""
        return float(self.autoencoder.config["scaling_factor"])

    def encode(self, images: Tensor) -> Tensor:
        """Moments [b, 2c, h, w] (mean, log-variance) of the scaled latent of images [b, 3, H, W] in [-1, 1]."""
        posterior = self.autoencoder.encode(images).latent_dist
        logvar = posterior.logvar + 2 * math.log(self.scale)
        return torch.cat([posterior.mean * self.scale, logvar.clamp(MIN_LOGVAR, MAX_LOGVAR)], dim=1)

    def decode(self, latents: Tensor) -> Tensor:
        """Images [b, 3, H, W], about [-1, 1], of scaled latents [b, c, h, w]; differentiable."""
        return self.autoencoder.decode(latents / self.scale).sample


def load(path: Path, device: torch.device | None = None) -> KLVAE:
    """The KL-VAE of a finished klvae stage, frozen and in eval mode."""
    autoencoder = AutoencoderKL.from_pretrained(require_whole(path), local_files_only=True)
    return KLVAE(autoencoder).eval().requires_grad_(False).to(device or torch.device("cpu"))


def build_scratch(klvae: KLVAEParams, kl_latent: KLLatentParams) -> AutoencoderKL:
    """A fresh `AutoencoderKL` of the sizes in params."""
    levels = len(klvae.block_channels)
    return AutoencoderKL(
        in_channels=3, out_channels=3, down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=klvae.block_channels, layers_per_block=klvae.layers_per_block, latent_channels=kl_latent.channels,
        norm_num_groups=math.gcd(32, *klvae.block_channels), mid_block_add_attention=False, scaling_factor=1.0)


def load_pretrained(klvae: KLVAEParams, kl_latent: KLLatentParams) -> AutoencoderKL:
    """The `AutoencoderKL` that `klvae.pretrained` names.

    Raises:
        WeightsError: it is not at hand or has another hash.
        ParamsError: its latent has another shape than `kl_latent` says.
    """
    autoencoder = AutoencoderKL.from_pretrained(resolve(klvae.pretrained, "klvae.pretrained"))
    factor = 2 ** (len(autoencoder.config.block_out_channels) - 1)
    for name, got, found in (("factor", kl_latent.factor, factor), ("channels", kl_latent.channels, autoencoder.config.latent_channels)):
        if got != found:
            raise ParamsError(f"params.yaml: kl_latent.{name} is {got}, expected {found}, as {klvae.pretrained.source} has it")
    return autoencoder


def latent_std(moments: Tensor) -> float:
    """Standard deviation of draws from moments [b, 2c, h, w], over everything: its inverse is the scale (Rombach et al. 2022, 3.3)."""
    mean, logvar = moments.double().chunk(2, dim=1)
    return float((mean.var() + logvar.exp().mean()).sqrt())


