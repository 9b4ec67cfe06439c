"""The stage: train, finetune or take the KL-VAE; measure its scale, its reconstructions and its size; save it."""

import json
from pathlib import Path

import torch

from pipeline.contracts.outputs import atomic_path, stage_output, write_text
from pipeline.errors import DataError
from pipeline.params import ClipParams, ComputeParams, KLLatentParams, KLVAEParams
from pipeline.processes import first_goes_on
from pipeline.seeds import derive_seed
from pipeline.stage import Summary
from pipeline.training import begin_with, pick_device
from stages.klvae.images import TrainingImages
from stages.klvae.measure import evaluate, reconstruct, sheet, sheet_images, size_of
from stages.klvae.model import KLVAE, build_scratch
from stages.klvae.pretrained import load_perceptual, load_pretrained
from stages.klvae.train import calibrate, fit, freeze_encoder

EVALUATED = 256  # held-out images measured, half frames and half audio images
VALIDATED = 64  # of these, at every checkpoint of a finetuning


def run(*, seed: int, compute: ComputeParams, clip: ClipParams, kl_latent: KLLatentParams, klvae: KLVAEParams,
        decode: Path, audio_images: Path, out: Path, warm_start: str | None = None) -> Summary:
    """Write `out` (see the package's docstring) and return the closing summary."""
    sections = {"seed": seed, "clip": clip, "kl_latent": kl_latent, "klvae": klvae, "warm_start": warm_start}
    inputs = {"decode": decode, "audio_images": audio_images}
    with stage_output(out, params=sections, inputs=inputs, code=Path(__file__).parent) as work:
        images = TrainingImages(decode, audio_images, "train", clip.frame_size_px)
        held_out = TrainingImages(decode, audio_images, "test", clip.frame_size_px)
        if len(held_out.clips) == 0:
            raise DataError("the test split is empty; add videos or raise inventory.test_share")
        device = pick_device(compute)
        perceptual = load_perceptual(klvae.lpips)
        measured, shown = held_out.batch(EVALUATED, derive_seed(seed, "klvae", "evaluate")), sheet_images(held_out)
        rows = [[("frames", shown[0])], [("audio images", shown[1])]]
        figures: dict[str, float] = {}

        def look(model: KLVAE, label: str) -> dict[str, float]:
            """Measure a network; its reconstructions become rows of the sheet."""
            for group, real in zip(rows, shown, strict=True):
                group.append((label, reconstruct(model, real)))
            return evaluate(model, measured, perceptual)

        if klvae.mode == "scratch":
            torch.manual_seed(derive_seed(seed, "klvae", "init"))
            fresh = build_scratch(klvae, kl_latent)
            begin_with(fresh, warm_start, "klvae")
            model = fit(seed, compute, klvae, KLVAE(fresh), perceptual, images, work)
            calibrate(model, images.batch(EVALUATED, derive_seed(seed, "klvae", "scale")))
        else:
            model = load_pretrained(klvae, kl_latent).eval().to(device)
        if klvae.mode == "finetune_decoder":
            figures |= {f"before_{name}": value for name, value in look(model, "pretrained").items()}
            begin_with(model.autoencoder, warm_start, "klvae")
            some = torch.cat([part[:VALIDATED // 2] for part in measured.chunk(2)])
            model = fit(seed, compute, klvae, freeze_encoder(model), perceptual, images, work,
                        lambda average: evaluate(average, some, perceptual))
        elif klvae.mode == "pretrained":
            write_text(work.folder / "curves.csv", "step\n")  # nothing was trained; the plots stay empty
        if not first_goes_on():
            return {}
        model = model.to(device).eval()
        figures |= look(model, {"pretrained": "pretrained", "finetune_decoder": "finetuned"}.get(klvae.mode, "decoded"))
        size = size_of(model, clip.frame_size_px)
        model.autoencoder.save_pretrained(work.folder)
        with atomic_path(work.folder / "reconstructions.png") as temporary:
            sheet([row for group in rows for row in group]).save(temporary, format="png")
        lpips_used = klvae.loss.lpips if perceptual is not None and klvae.mode != "pretrained" else 0.0
        write_text(work.folder / "metrics.json", json.dumps({**figures, **size, "lpips_loss_weight": lpips_used}, indent=1) + "\n")
        work.counts.update(train_clips=len(images.clips), parameters=int(size["parameters"]))
    return {"mode": klvae.mode, **{name: f"{value:.4g}" for name, value in figures.items()}, **shown_size(size), "out": str(out)}


def shown_size(size: dict[str, float]) -> dict[str, str]:
    """The size's line of the closing summary."""
    side = f"{size['latent_side']:.0f}"
    return {"size": f"{size['parameters'] / 1e6:.2f}M", "latent": f"{size['latent_channels']:.0f} x {side} x {side}",
            "an image": f"{size['gflop_encode']:.3g} + {size['gflop_decode']:.3g} GFLOP"}
