"""What the optimizers of the KL-VAE and of its patch discriminator descend (Rombach et al. 2022, appendix G).

Shapes: b images.
"""

from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.vae import DecoderTiny
from torch import Tensor, nn

from pipeline.params import KLVAELossParams
from pipeline.shared_batch import mean_over_all
from stages.klvae.images import to_model_range
from stages.klvae.model import KLVAE
from stages.klvae.patch_discriminator import PatchDiscriminator
from stages.klvae.pretrained import PerceptualDistance

MAX_ADAPTIVE_WEIGHT = 1e4


class Judges:
    """What judges the decoded images, frozen: part of no checkpoint and no average of the KL-VAE."""

    def __init__(self, perceptual: PerceptualDistance | None, discriminator: PatchDiscriminator | None, start_step: int) -> None:
        """start_step: the discriminator judges from this step on."""
        self.perceptual, self.discriminator, self.start_step = perceptual, discriminator, start_step

    def __deepcopy__(self, memo: dict[int, Any]) -> "Judges":
        return self

    def distance(self, made: Tensor, real: Tensor) -> Tensor:
        """Mean LPIPS of images [b, 3, H, W]."""
        assert self.perceptual is not None
        return self.perceptual.to(made.device)(made, real).mean()

    def logits(self, images: Tensor) -> Tensor:
        """The discriminator's logits with gradients to the images alone; its running statistics stay as they are."""
        assert self.discriminator is not None
        frozen = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        frozen |= {name: value.clone() for name, value in self.discriminator.named_buffers()}
        return torch.func.functional_call(self.discriminator, frozen, (images,)).float()


class KLVAEObjective(nn.Module):
    """L1 error of the reconstruction; by their weights its square, LPIPS, the adversarial loss and the KL term."""

    def __init__(self, klvae: KLVAE, loss: KLVAELossParams, judges: Judges) -> None:
        super().__init__()
        self.klvae, self.weight, self.judges = klvae, loss, judges

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """batch: `images` uint8 [b, H, W, 3], `step` (a scalar) -> loss and its parts; and `real`, `made` for the discriminator."""
        images = to_model_range(batch["images"])                          # (b, 3, H, W)
        made, divergence = self.klvae.reconstruct(images)                 # (b, 3, H, W), (b,)
        made, weight = made.float(), self.weight
        difference = made - images
        parts = {"l1": difference.abs().mean(), "mse": difference.square().mean(), "kl": divergence.mean() / images[0].numel()}
        # L1 keeps thin lines of the mel, the square term reaches a high PSNR sooner; at weight 10 both weigh alike near 30 dB.
        total = parts["l1"] + weight.mse * parts["mse"]
        if weight.lpips and self.judges.perceptual is not None:
            parts["lpips"] = self.judges.distance(made, images)
            total = total + weight.lpips * parts["lpips"]
        reconstruction = total
        total = total + weight.kl * parts["kl"]
        if self.judges.discriminator is not None and int(batch["step"]) >= self.judges.start_step:
            parts["adversarial"] = -self.judges.logits(made).mean()
            parts["adaptive_weight"] = adaptive_weight(reconstruction, parts["adversarial"], last_weight(self.klvae))
            total = total + weight.adversarial * parts["adaptive_weight"] * parts["adversarial"]
            parts |= {"real": images, "made": made.detach()}
        return {"loss": total, **parts}


class PatchDiscriminatorObjective(nn.Module):
    """Hinge loss of the discriminator on the images that the KL-VAE's objective left in the batch."""

    def __init__(self, discriminator: PatchDiscriminator) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """batch: `real`, `made` [b, 3, H, W] -> loss and the mean logits."""
        real, made = self.discriminator(batch["real"]).float(), self.discriminator(batch["made"]).float()
        loss = 0.5 * (F.relu(1 - real).mean() + F.relu(1 + made).mean())
        return {"loss": loss, "real": real.mean(), "made": made.mean()}


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, weight: Tensor) -> Tensor:
    """How much larger the first loss's gradient is at the decoder's last weights (VQGAN, Esser et al. 2021, Eq. 7): a scalar.

    With it both losses pull alike whatever their scales, as in latent diffusion's training of its KL-VAEs.
    """
    gradients = [torch.autograd.grad(loss, weight, retain_graph=True)[0].float() for loss in (reconstruction, adversarial)]
    norms = [mean_over_all(gradient).norm() for gradient in gradients]
    return (norms[0] / (norms[1] + 1e-4)).clamp(0, MAX_ADAPTIVE_WEIGHT).detach()


def last_weight(klvae: KLVAE) -> Tensor:
    """Weights of the convolution that writes the pixels."""
    decoder = klvae.autoencoder.decoder
    last = list(decoder.layers)[-1] if isinstance(decoder, DecoderTiny) else decoder.conv_out
    assert isinstance(last, nn.Conv2d)
    return last.weight
