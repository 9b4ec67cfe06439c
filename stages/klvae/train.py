"""Training of the KL-VAE: whole from scratch, or the decoder alone of a pretrained one (paper 4.6)."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from pipeline.contracts.outputs import Work
from pipeline.params import ComputeParams, KLVAEParams
from pipeline.progress import say
from pipeline.seeds import derive_seed
from pipeline.training import Phase, train
from stages.klvae.images import TrainingImages, to_model_range
from stages.klvae.model import KLVAE
from stages.klvae.objectives import Judges, KLVAEObjective, PatchDiscriminatorObjective
from stages.klvae.patch_discriminator import PatchDiscriminator
from stages.klvae.pretrained import PerceptualDistance

PLAIN_BETAS = (0.9, 0.99)
ADVERSARIAL_BETAS = (0.5, 0.9)  # of both optimizers against a discriminator, as in VQGAN and latent diffusion


def fit(seed: int, compute: ComputeParams, params: KLVAEParams, klvae: KLVAE, perceptual: PerceptualDistance | None,
        images: TrainingImages, work: Work, validate: Callable[[KLVAE], Mapping[str, float]] | None = None) -> KLVAE:
    """Train what of `klvae` requires gradients, on frames and audio images; the averaged network, on the device."""
    if params.loss.lpips and perceptual is None:
        say("klvae", "klvae.lpips names no weights: the training goes without the perceptual loss")
    discriminator, phases = None, []
    betas = ADVERSARIAL_BETAS if params.loss.adversarial else PLAIN_BETAS
    if params.loss.adversarial:
        torch.manual_seed(derive_seed(seed, "klvae", "discriminator"))
        discriminator = PatchDiscriminator(params.discriminator)
        phases = [Phase("discriminator", PatchDiscriminatorObjective(discriminator), params.discriminator.start_step, betas=betas)]
    objective = KLVAEObjective(klvae.train(), params.loss, Judges(perceptual, discriminator, params.discriminator.start_step))
    phases.insert(0, Phase("klvae", objective, betas=betas))

    def batch_at(index: int) -> dict[str, Tensor]:
        drawn = derive_seed(seed, "klvae", "batch", index)
        return {"images": images.batch(params.train.batch_size, drawn, audio_share=params.audio_share, shared=True),
                "step": torch.tensor(index // params.train.grad_accumulation)}

    def measured(average: nn.Module) -> Mapping[str, float]:
        assert isinstance(average, KLVAEObjective) and validate is not None
        return validate(average.klvae)

    averaged = train("klvae", params.train, phases, batch_at, seed=seed, compute=compute, work=work,
                     validate=measured if validate else None)
    assert isinstance(averaged, KLVAEObjective)
    return averaged.klvae


def freeze_encoder(klvae: KLVAE) -> KLVAE:
    """Only the decoder, and the 1x1 convolution before it where there is one, still require gradients."""
    klvae.requires_grad_(False)
    for name in ("decoder", "post_quant_conv"):
        part = getattr(klvae.autoencoder, name, None)
        if part is not None:
            part.requires_grad_(True)
    return klvae


@torch.no_grad()
def calibrate(klvae: KLVAE, images: Tensor) -> None:
    """Set the scaling factor so that the scaled latent of these images (uint8 [b, H, W, 3]) has standard deviation 1."""
    klvae.autoencoder.register_to_config(scaling_factor=1.0)
    device = next(klvae.parameters()).device
    std = latent_std(klvae.encode(to_model_range(images).to(device)))
    klvae.autoencoder.register_to_config(scaling_factor=float(f"{1 / std:.6g}"))


def latent_std(moments: Tensor) -> float:
    """Standard deviation of draws from moments [b, 2c, h, w], over everything: its inverse is the scale (Rombach et al. 2022, 3.3)."""
    mean, logvar = moments.double().chunk(2, dim=1)
    return float((mean.var() + logvar.exp().mean()).sqrt())
