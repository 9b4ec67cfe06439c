"""How well the KL-VAE gives held-out images back, how large it is, and a sheet of both for people."""

import copy

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from stages.klvae.images import TrainingImages, to_model_range, to_uint8
from stages.klvae.model import KLVAE
from stages.klvae.pretrained import PerceptualDistance

BATCH = 32
SHEET_COLUMNS = 8
GAP_PX, LABELS_PX = 4, 84


@torch.no_grad()
def reconstruct(klvae: KLVAE, images: Tensor) -> Tensor:
    """uint8 [b, H, W, 3] -> the same, decoded from the posterior's mean."""
    device = next(klvae.parameters()).device
    means = (klvae.encode(to_model_range(piece).to(device)).chunk(2, dim=1)[0] for piece in images.split(BATCH))
    return torch.cat([to_uint8(klvae.decode(mean)).cpu() for mean in means])


@torch.no_grad()
def evaluate(klvae: KLVAE, images: Tensor, perceptual: PerceptualDistance | None = None) -> dict[str, float]:
    """PSNR (dB, of 8-bit images), SSIM and, where given, LPIPS of reconstructions; first half frames, second audio images."""
    decoded, half = reconstruct(klvae, images), len(images) // 2
    figures: dict[str, float] = {}
    for name, part in (("frames", slice(None, half)), ("audio_images", slice(half, None))):
        found: dict[str, list[Tensor]] = {"psnr": [], "ssim": [], "lpips": []}
        for true8, made8 in zip(images[part].split(BATCH), decoded[part].split(BATCH), strict=True):
            true, made = (piece.permute(0, 3, 1, 2).float() for piece in (true8, made8))
            # PSNR image by image, then averaged: one bad image is not hidden in a pooled mean. A perfect one counts 100 dB.
            psnr = peak_signal_noise_ratio(made, true, data_range=255.0, reduction="none", dim=(1, 2, 3))
            ssim = structural_similarity_index_measure(made, true, data_range=255.0, reduction="none")
            assert isinstance(ssim, Tensor)
            found["psnr"].append(psnr.clamp(max=100.0))
            found["ssim"].append(ssim)
            if perceptual is not None:
                device = next(klvae.parameters()).device
                found["lpips"].append(perceptual.to(device)(*(to_model_range(p).to(device) for p in (made8, true8))).cpu())
        figures |= {f"{kind}_{name}": _rounded(float(torch.cat(values).mean())) for kind, values in found.items() if values}
    return figures


def size_of(klvae: KLVAE, side: int) -> dict[str, float]:
    """Parameters, shape of the latent of an image of `side` px, and operations (10^9, a multiply-add counts two) of one image."""
    weightless = copy.deepcopy(klvae).to("meta")
    image, latent = (1, 3, side, side), (1, klvae.latent_channels, side // klvae.factor, side // klvae.factor)
    figures: dict[str, float] = {"parameters": sum(p.numel() for p in klvae.parameters()), "latent_channels": latent[1],
                                 "latent_side": latent[2]}
    for name, method, shape in (("encode", weightless.encode, image), ("decode", weightless.decode, latent)):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            method(torch.empty(shape, device="meta"))
        figures[f"gflop_{name}"] = _rounded(counter.get_total_flops() / 1e9)
    return figures


def sheet_images(held_out: TrainingImages) -> tuple[Tensor, Tensor]:
    """Fixed held-out frames and audio images, uint8 [8, H, W, 3] each: spread evenly over the clips, the middle frame of each."""
    clips, windows = ([i * count // SHEET_COLUMNS for i in range(SHEET_COLUMNS)] for count in (len(held_out.clips), len(held_out.windows)))
    frames = [held_out.frame(clip, 0.5) for clip in clips]
    return torch.from_numpy(np.stack(frames)), torch.from_numpy(np.stack([held_out.audio_image(window) for window in windows]))


def sheet(rows: list[tuple[str, Tensor]]) -> Image.Image:
    """Rows of images uint8 [8, H, W, 3] under one another, each with its label on the left."""
    side = rows[0][1].shape[1]
    step = side + GAP_PX
    page = Image.new("RGB", (LABELS_PX + SHEET_COLUMNS * step, len(rows) * step), "white")
    draw = ImageDraw.Draw(page)
    for y, (label, images) in enumerate(rows):
        draw.multiline_text((GAP_PX, y * step + side // 2 - 10), label, fill="black")
        for x, image in enumerate(images.numpy()):
            page.paste(Image.fromarray(image), (LABELS_PX + x * step, y * step))
    return page


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
