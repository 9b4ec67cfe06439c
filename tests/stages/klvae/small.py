"""Tiny networks and settings for the KL-VAE's tests."""

from dataclasses import replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny

from pipeline.params import (
    KLLatentParams,
    KLVAELossParams,
    KLVAEParams,
    PatchDiscriminatorParams,
    PretrainedParams,
    TrainParams,
)
from stages.klvae.model import build_scratch

LATENT = KLLatentParams(factor=4, channels=4)
NOTHING = PretrainedParams(source=None, revision=None, subfolder=None, sha256=None)
TRAIN = TrainParams(steps=4, batch_size=4, grad_accumulation=1, learning_rate=1e-3, lr_schedule="constant", warmup_steps=0,
                    weight_decay=0.0, grad_clip=1.0, ema_decay=0.9, precision="fp32", log_every=1, checkpoint_every=2,
                    gradient_checkpointing=False, compile=False, channels_last=False)


def settings(mode: str = "scratch", *, source: str | Path | None = None, lpips: str | Path | None = None, adversarial: float = 0.0,
             start_step: int = 0, **train: object) -> KLVAEParams:
    named = [replace(NOTHING, source=None if path is None else str(path)) for path in (source, lpips)]
    return KLVAEParams(
        mode=mode, pretrained=named[0], lpips=named[1], block_channels=(8, 8, 16), layers_per_block=1, audio_share=0.5,  # type: ignore[arg-type]
        loss=KLVAELossParams(mse=0.0, lpips=1.0, adversarial=adversarial, kl=1e-6),
        discriminator=PatchDiscriminatorParams(base_channels=8, num_layers=3, start_step=start_step),
        train=replace(TRAIN, **train))  # type: ignore[arg-type]


def small_kl() -> AutoencoderKL:
    torch.manual_seed(0)
    return build_scratch(settings(), LATENT)


def small_tiny() -> AutoencoderTiny:
    torch.manual_seed(0)
    return AutoencoderTiny(encoder_block_out_channels=(8, 8, 8), decoder_block_out_channels=(8, 8, 8), num_encoder_blocks=(1, 1, 1),
                           num_decoder_blocks=(1, 1, 1), latent_channels=4)


def noise_images(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
