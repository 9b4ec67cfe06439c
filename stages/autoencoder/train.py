"""The stage: train the autoencoder against its discriminator on the encode stage's moments, measure it, save it."""

import json
from pathlib import Path

import torch
from torch import nn

from pipeline.contracts.outputs import Work, atomic_path, stage_output, write_text
from pipeline.errors import DataError, TrainingError
from pipeline.params import AutoencoderParams, ClipParams, ComputeParams, KLLatentParams
from pipeline.processes import first_goes_on, world_size
from pipeline.seeds import derive_seed
from pipeline.stage import Summary
from pipeline.training import Batch, Phase, begin_with, pick_device, train
from stages.autoencoder.discriminator import Discriminator
from stages.autoencoder.model import Autoencoder, MultiModalAutoencoder, Shapes, save
from stages.autoencoder.objectives import DiscriminatorObjective, GeneratorObjective, Judge
from stages.autoencoder.reconstruction import FINAL_WINDOWS, VALIDATION_WINDOWS, measure, measure_images, sheet_rows
from stages.autoencoder.signal_decoder import load_pretrained_unet
from stages.autoencoder.size import size_of
from stages.autoencoder.windows import MomentWindows, class_names
from stages.klvae import KLVAE
from stages.klvae import load as load_klvae
from stages.klvae.measure import sheet


def run(*, seed: int, compute: ComputeParams, clip: ClipParams, kl_latent: KLLatentParams, autoencoder: AutoencoderParams,
        encode: Path, klvae: Path, out: Path, warm_start: str | None = None) -> Summary:
    """Write `out` (see the package's docstring) and return the closing summary."""
    sections = {"seed": seed, "clip": clip, "kl_latent": kl_latent, "autoencoder": autoencoder, "warm_start": warm_start}
    with stage_output(out, params=sections, inputs={"encode": encode, "klvae": klvae}, code=Path(__file__).parent) as work:
        windows = MomentWindows(encode, "train", clip.num_frames, flip_share=autoencoder.flip_share)
        held_out = MomentWindows(encode, "test", clip.num_frames)
        shapes = Shapes(kl_latent.channels, clip.frame_size_px // kl_latent.factor, clip.num_frames, class_names(encode))
        if windows.latent_shape != (shapes.kl_channels, shapes.kl_side):
            raise DataError(f"{encode} holds latents of {windows.latent_shape[0]} channels and side {windows.latent_shape[1]}, params.yaml "
                            f"says {shapes.kl_channels} and {shapes.kl_side} (kl_latent, clip.frame_size_px); run: dvc repro encode")
        device = pick_device(compute)
        images = load_klvae(klvae, device)
        network = fit(seed, compute, clip, autoencoder, shapes, windows, held_out, images, work, warm_start)
        if not first_goes_on():
            return {}
        trained = Autoencoder(network, device)
        figures = {**measure(trained, held_out, FINAL_WINDOWS), **measure_images(trained, images, held_out)}
        size = size_of(autoencoder, shapes, clip.frame_size_px)
        save(work.folder, network)
        with atomic_path(work.folder / "reconstructions.png") as temporary:
            sheet(sheet_rows(trained, images, held_out)).save(temporary, format="png")
        rounded = {name: float(f"{value:.6g}") for name, value in figures.items()}
        write_text(work.folder / "metrics.json", json.dumps({**rounded, **size}, indent=1) + "\n")
        work.counts.update(train_windows=len(windows), held_out_windows=len(held_out), classes=len(shapes.class_names),
                           parameters=int(size["parameters"]))
    shown = {name: f"{value:.3g}" for name, value in figures.items()}
    return {"windows": len(windows), **shown, "size": f"{size['parameters'] / 1e6:.2f}M",
            "a window": f"{size['gflop_encode']:.3g} + {size['gflop_decode']:.3g} GFLOP", "out": str(out)}


def fit(seed: int, compute: ComputeParams, clip: ClipParams, params: AutoencoderParams, shapes: Shapes, windows: MomentWindows,
        held_out: MomentWindows | None, klvae: KLVAE, work: Work, warm_start: str | None) -> MultiModalAutoencoder:
    """Train, and measure on `held_out`, if there are any, at every checkpoint; the averaged network, in eval mode on the device."""
    if params.discriminator.max_items % world_size():
        raise TrainingError(f"params.yaml: autoencoder.discriminator.max_items is {params.discriminator.max_items}, which {world_size()} "
                            f"processes cannot share evenly; set a multiple of {world_size()}, or 0")
    torch.manual_seed(derive_seed(seed, "autoencoder", "init"))
    network = MultiModalAutoencoder(params, shapes)
    if params.signal_decoder.pretrained.source is not None:
        load_pretrained_unet(network.signal_decoder.unet, params.signal_decoder)
    begin_with(network, warm_start, "autoencoder")
    judge, phases = None, []
    if params.loss.adversarial:
        discriminator = Discriminator(params.discriminator, clip.frame_size_px)
        judge = Judge(discriminator, klvae)
        phases = [Phase("discriminator", DiscriminatorObjective(discriminator, params.discriminator.fake_combination),
                        params.discriminator.start_step, params.discriminator.every_steps)]
    phases.insert(0, Phase("generator", GeneratorObjective(network, judge), frozen=(klvae,) if judge else ()))

    def batch_at(index: int) -> Batch:
        step = index // params.train.grad_accumulation
        return {**windows.training_batch(index, params.train.batch_size, seed), "step": torch.tensor(step)}

    def validate(average: nn.Module) -> dict[str, float]:
        assert isinstance(average, GeneratorObjective) and held_out is not None
        return measure(Autoencoder(average.model, pick_device(compute)), held_out, VALIDATION_WINDOWS)

    average = train("autoencoder", params.train, phases, batch_at, seed=seed, compute=compute, work=work,
                    validate=None if held_out is None else validate)
    assert isinstance(average, GeneratorObjective)
    return average.model
