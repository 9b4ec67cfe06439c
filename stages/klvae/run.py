"""The stage: train or take the KL-VAE, measure its scale and its reconstructions."""

import json
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn

from pipeline.contracts.outputs import Work, stage_output, write_text
from pipeline.errors import DataError
from pipeline.params import ClipParams, ComputeParams, KLLatentParams, KLVAEParams
from pipeline.seeds import derive_seed
from pipeline.stage import Summary
from pipeline.training import Phase, pick_device, train
from stages.klvae.images import TrainingImages, to_model_range, to_uint8
from stages.klvae.model import KLVAE, build_scratch, latent_std, load_pretrained

EVALUATED = 256  # held-out images measured, half frames and half audio images


def run(*, seed: int, compute: ComputeParams, clip: ClipParams, kl_latent: KLLatentParams, klvae: KLVAEParams,
        decode: Path, audio_images: Path, out: Path) -> Summary:
    """Write `out` (see the package's docstring) and return the closing summary."""
    sections = {"seed": seed, "clip": clip, "kl_latent": kl_latent, "klvae": klvae}
    inputs = {"decode": decode, "audio_images": audio_images}
    with stage_output(out, params=sections, inputs=inputs, code=Path(__file__).parent) as work:
        images = TrainingImages(decode, audio_images, "train", clip.frame_size_px)
        held_out = TrainingImages(decode, audio_images, "test", clip.frame_size_px)
        if len(held_out.clips) == 0:
            raise DataError("the test split is empty; add videos or raise inventory.test_share")
        device = pick_device(compute)
        if klvae.mode == "scratch":
            autoencoder = train_scratch(seed, compute, klvae, kl_latent, images, work)
            calibrate(autoencoder, images.batch(EVALUATED, derive_seed(seed, "klvae", "scale")))
        else:
            autoencoder = load_pretrained(klvae, kl_latent)
            write_text(work.folder / "curves.csv", "step\n")  # nothing was trained; the plots stay empty
        figures = evaluate(KLVAE(autoencoder).to(device).eval(), held_out.batch(EVALUATED, derive_seed(seed, "klvae", "evaluate")))
        autoencoder.save_pretrained(work.folder)
        write_text(work.folder / "metrics.json", json.dumps(figures, indent=1) + "\n")
        work.counts.update(train_clips=len(images.clips), parameters=autoencoder.num_parameters())
    return {"mode": klvae.mode, "out": str(out), **{name: f"{value:.4g}" for name, value in figures.items()}}


class KLVAEObjective(nn.Module):
    """L1 + squared error of the reconstruction, and the KL term."""

    def __init__(self, autoencoder: AutoencoderKL, kl_weight: float) -> None:
        super().__init__()
        self.autoencoder, self.kl_weight = autoencoder, kl_weight

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        images = to_model_range(batch["images"])                          # (b, 3, H, W)
        posterior = self.autoencoder.encode(images).latent_dist
        decoded = self.autoencoder.decode(posterior.sample()).sample
        difference = decoded.float() - images
        l1, mse = difference.abs().mean(), difference.square().mean()
        kl = posterior.kl().mean() / images[0].numel()
        # L1 keeps thin lines of the mel, the square term reaches a high PSNR sooner; both weigh alike near 30 dB.
        return {"loss": l1 + 10 * mse + self.kl_weight * kl, "l1": l1, "mse": mse, "kl": kl}


def train_scratch(seed: int, compute: ComputeParams, klvae: KLVAEParams, kl_latent: KLLatentParams, images: TrainingImages,
                  work: Work) -> AutoencoderKL:
    """Train an `AutoencoderKL` on frames and audio images together."""
    torch.manual_seed(derive_seed(seed, "klvae", "init"))
    objective = KLVAEObjective(build_scratch(klvae, kl_latent), klvae.kl_weight)

    def batch_at(step: int) -> dict[str, Tensor]:
        return {"images": images.batch(klvae.train.batch_size, derive_seed(seed, "klvae", "batch", step))}

    averaged = train("klvae", klvae.train, [Phase("klvae", objective)], batch_at, seed=seed, compute=compute, work=work)
    assert isinstance(averaged, KLVAEObjective)
    return averaged.autoencoder


@torch.no_grad()
def calibrate(autoencoder: AutoencoderKL, images: Tensor) -> None:
    """Set the scaling factor so that the scaled latent of these images (uint8 [b, H, W, 3]) has standard deviation 1."""
    autoencoder.register_to_config(scaling_factor=1.0)
    device = next(autoencoder.parameters()).device
    std = latent_std(KLVAE(autoencoder).encode(to_model_range(images).to(device)))
    autoencoder.register_to_config(scaling_factor=float(f"{1 / std:.6g}"))


@torch.no_grad()
def evaluate(klvae: KLVAE, images: Tensor) -> dict[str, float]:
    """PSNR (dB, of 8-bit images) and SSIM of reconstructions from the posterior's mean; first half frames, second audio images."""
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    device = next(klvae.parameters()).device
    decoded = []
    for piece in images.split(32):
        mean = klvae.encode(to_model_range(piece).to(device)).chunk(2, dim=1)[0]
        decoded.append(to_uint8(klvae.decode(mean)).cpu())
    half = len(images) // 2
    figures = {}
    for name, part in (("frames", slice(None, half)), ("audio_images", slice(half, None))):
        true = images[part].permute(0, 3, 1, 2).float()
        made = torch.cat(decoded)[part].permute(0, 3, 1, 2).float()
        # PSNR image by image, then averaged: one bad image is not hidden in a pooled mean. A perfect one counts 100 dB.
        psnr = peak_signal_noise_ratio(made, true, data_range=255.0, reduction="none", dim=(1, 2, 3)).clamp(max=100.0).mean()
        ssim = structural_similarity_index_measure(made, true, data_range=255.0)
        assert isinstance(ssim, Tensor)
        figures[f"psnr_{name}"], figures[f"ssim_{name}"] = float(f"{float(psnr):.6g}"), float(f"{float(ssim):.6g}")
    return figures
