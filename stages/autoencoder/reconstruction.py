"""How well held-out windows survive encoding and decoding, and what the semantic space knows of them."""

import torch
from torch import Tensor

from stages.autoencoder.encoders import Posterior
from stages.autoencoder.losses import kl_divergence
from stages.autoencoder.model import Autoencoder
from stages.autoencoder.windows import MomentWindows
from stages.klvae import KLVAE
from stages.klvae.images import to_uint8
from stages.klvae.measure import SHEET_COLUMNS

RETRIEVAL_BATCH = 32
VALIDATION_WINDOWS, FINAL_WINDOWS, IMAGE_WINDOWS, SHEET_WINDOWS = 64, 256, 32, 8
"""Held-out windows measured during the training, at its end, and in pixels; and shown on the sheet for people."""


@torch.no_grad()
def measure(autoencoder: Autoencoder, windows: MomentWindows, num_windows: int) -> dict[str, float]:
    """Figures over evenly spaced windows, in the KL-VAE's latent space (unit variance) and in the semantic space.

    Returns:
        mse_audio, mse_video: squared error per element of the KL-VAE latent.
        snr_audio_db, snr_video_db: 10 log10 of the latent's variance over that error.
        kl_audio, kl_video: nats per window.
        class_accuracy: of the classification head (absent without it).
        retrieval_top1, retrieval_chance: sound -> picture and back among the windows of a batch (absent without the head).
    """
    sums: dict[str, list[float]] = {}
    for indices in retrieval_batches(len(windows), num_windows):
        audio, video, class_id = _means(windows, indices, autoencoder.device)
        moments_a, moments_v = autoencoder.encode(video, audio)
        posterior_a, posterior_v = Posterior.from_moments(moments_a), Posterior.from_moments(moments_v)
        made_audio, made_video = autoencoder.decode(posterior_a.mean, posterior_v.mean, seeds=indices)
        found = {"mse_audio": (made_audio - audio).square().mean(), "mse_video": (made_video - video).square().mean(),
                 "var_audio": audio.var(), "var_video": video.var(),
                 "kl_audio": kl_divergence(posterior_a), "kl_video": kl_divergence(posterior_v)}
        for name, value in (found | _semantics(autoencoder, posterior_a.mean, posterior_v.mean, class_id)).items():
            sums.setdefault(name, []).append(float(value))
    figures = {name: sum(values) / len(values) for name, values in sums.items()}
    for name in ("audio", "video"):
        figures[f"snr_{name}_db"] = decibel(figures.pop(f"var_{name}") / max(figures[f"mse_{name}"], 1e-12))
    return figures


@torch.no_grad()
def measure_images(autoencoder: Autoencoder, klvae: KLVAE, windows: MomentWindows) -> dict[str, float]:
    """PSNR in dB of decoded images against the KL-VAE's own decoding of the true latents (its loss is not counted here).

    Returns:
        psnr_audio, psnr_frames; psnr_between_keys: of the frames that are no key frame, beside psnr_nearest_key, which
        repeats the nearest key frame instead.
    """
    keys = torch.linspace(0, autoencoder.shapes.num_frames - 1, autoencoder.network.params.num_key_frames).round()
    index = torch.arange(autoencoder.shapes.num_frames)
    nearest = keys[(index[:, None] - keys[None]).abs().argmin(dim=1)].long()
    between = nearest != index
    errors: dict[str, list[Tensor]] = {}
    for i in spread(len(windows), IMAGE_WINDOWS):
        audio, video, _ = _means(windows, [i], autoencoder.device)
        moments_a, moments_v = autoencoder.encode(video, audio)
        made_audio, made_video = autoencoder.decode(moments_a.chunk(2, 1)[0], moments_v.chunk(2, 1)[0], seeds=[i])
        images = klvae.decode(torch.cat([audio, made_audio, video[0], made_video[0]])).clamp(-1, 1)
        true, made = images[2:].chunk(2)
        errors.setdefault("psnr_audio", []).append(_error(images[1:2], images[:1]))
        errors.setdefault("psnr_frames", []).append(_error(made, true))
        if between.any():
            errors.setdefault("psnr_between_keys", []).append(_error(made[between], true[between]))
            errors.setdefault("psnr_nearest_key", []).append(_error(true[nearest][between], true[between]))
    # dB of each image, then the mean: one bad image is not hidden in a pooled error.
    return {name: float((10 * torch.log10(4 / torch.cat(parts).clamp(min=1e-10))).mean()) for name, parts in errors.items()}


@torch.no_grad()
def sheet_rows(autoencoder: Autoencoder, klvae: KLVAE, windows: MomentWindows) -> list[tuple[str, Tensor]]:
    """For people, two rows for each of some windows: the audio image and frames, uint8 [8, H, W, 3] with the label of the row, decoded
    from the true KL-VAE latents, then from z_a and z_v."""
    rows = []
    frames = torch.tensor(spread(autoencoder.shapes.num_frames, SHEET_COLUMNS - 1))
    for i in spread(len(windows), SHEET_WINDOWS):
        audio, video, class_id = _means(windows, [i], autoencoder.device)
        moments_a, moments_v = autoencoder.encode(video, audio)
        made_audio, made_video = autoencoder.decode(moments_a.chunk(2, 1)[0], moments_v.chunk(2, 1)[0], seeds=[i])
        name = autoencoder.class_names[int(class_id)][:12]
        for label, latents in (("KL-VAE alone", (audio, video[0, frames])), ("autoencoder", (made_audio, made_video[0, frames]))):
            rows.append((f"{name}\n{label}", to_uint8(klvae.decode(torch.cat(latents))).cpu()))
    return rows


def spread(total: int, count: int) -> list[int]:
    """At most `count` evenly spaced indices below `total`."""
    count = min(count, total)
    return [i * total // count for i in range(count)]


def retrieval_batches(total: int, count: int) -> list[list[int]]:
    """Evenly spaced indices in batches of at most 32; neighbours, too alike to tell apart, come into different batches."""
    chosen = spread(total, count)
    batches = -(-len(chosen) // RETRIEVAL_BATCH)
    return [chosen[first::batches] for first in range(batches)]


def decibel(ratio: float) -> float:
    """10 log10."""
    return float(10 * torch.log10(torch.tensor(ratio, dtype=torch.float64)))


def _means(windows: MomentWindows, indices: list[int], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    batch = windows.batch(indices)
    audio, video = (batch[name].float().chunk(2, dim=-3)[0].to(device) for name in ("audio", "video"))
    return audio, video, batch["class_id"].to(device)


def _semantics(autoencoder: Autoencoder, z_a: Tensor, z_v: Tensor, class_id: Tensor) -> dict[str, Tensor]:
    network = autoencoder.network
    found: dict[str, Tensor] = {}
    s_a, s_v = network.semantics(z_a, z_v)
    if network.classification_head is not None:
        found["class_accuracy"] = (network.class_of(s_a, s_v) == class_id).float().mean()
    if network.contrastive_head is not None:
        similarity = network.contrastive_head(s_a) @ network.contrastive_head(s_v).T
        target = torch.arange(len(similarity), device=similarity.device)
        hits = (similarity.argmax(dim=1) == target).float().mean() + (similarity.argmax(dim=0) == target).float().mean()
        found |= {"retrieval_top1": hits / 2, "retrieval_chance": torch.tensor(1 / len(similarity))}
    return found


def _error(made: Tensor, true: Tensor) -> Tensor:
    return (made - true).square().mean(dim=(1, 2, 3))
