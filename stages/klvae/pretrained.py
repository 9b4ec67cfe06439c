"""The pretrained parts that `klvae` names: the autoencoder itself, and the perceptual distance (LPIPS)."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchmetrics.functional.image.lpips import _NoTrainLpips

from pipeline.errors import ParamsError, WeightsError
from pipeline.params import KLLatentParams, KLVAEParams, PretrainedParams
from pipeline.pretrained import resolve, weights_file
from stages.klvae.model import KLVAE
from stages.klvae.weights import open_autoencoder


def load_pretrained(klvae: KLVAEParams, kl_latent: KLLatentParams) -> KLVAE:
    """The KL-VAE that `klvae.pretrained` names.

    Raises:
        WeightsError: it is not at hand, is no autoencoder of images, or has another hash.
        ParamsError: its latent has another shape than `kl_latent` says.
    """
    entry = "params.yaml: klvae.pretrained"
    model = KLVAE(open_autoencoder(resolve(klvae.pretrained, "klvae.pretrained"), entry))
    said, found = (kl_latent.channels, kl_latent.factor), (model.latent_channels, model.factor)
    if said != found:
        raise ParamsError(f"params.yaml: kl_latent has channels {said[0]} and factor {said[1]}, expected {found[0]} and {found[1]}, "
                          f"as {type(model.autoencoder).__name__} of {klvae.pretrained.source} has them; change kl_latent or the source")
    return model


class PerceptualDistance(nn.Module):
    """LPIPS (Zhang et al. 2018) on VGG16, as the loss of latent diffusion's autoencoders takes it; frozen."""

    def __init__(self, backbone: dict[str, Tensor]) -> None:
        """backbone: `features.*` of torchvision's VGG16. The linear heads come with torchmetrics."""
        super().__init__()
        self.lpips = _NoTrainLpips(net="vgg", pnet_rand=True)
        # torchmetrics cuts VGG16's features into slices and keeps their numbers: slice3.14.bias is features.14.bias.
        own = {name: f"features.{name.split('.', 1)[1]}" for name in self.lpips.net.state_dict()}
        self.lpips.net.load_state_dict({name: backbone[there] for name, there in own.items()})
        self.requires_grad_(False)

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        """Distance [b] of images [b, 3, H, W] in about [-1, 1]; differentiable."""
        return self.lpips(made.float(), real).flatten()


def load_perceptual(lpips: PretrainedParams) -> PerceptualDistance | None:
    """The distance whose backbone `klvae.lpips` names; None when it names none.

    Raises:
        WeightsError: the file is not at hand, has another hash, or is not torchvision's VGG16.
    """
    if lpips.source is None:
        return None
    file = weights_file(resolve(lpips, "klvae.lpips"), "klvae.lpips")
    try:
        return PerceptualDistance(_read(file))
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        reason = f"without {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:120]
        raise WeightsError(f"params.yaml: klvae.lpips: {file} is not torchvision's VGG16 ({reason}); name vgg16-397923af.pth or "
                           "timm/vgg16.tv_in1k, or set klvae.lpips.source to null to train without it") from None


def _read(file: Path) -> dict[str, Tensor]:
    return load_file(file) if file.suffix == ".safetensors" else torch.load(file, map_location="cpu", weights_only=True)
