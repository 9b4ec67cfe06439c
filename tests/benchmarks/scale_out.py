"""What a large data set takes: python -m tests.benchmarks.scale_out [--clips-total 100000] [--machines 1 4 16]

Measured here: CPU seconds and bytes of inventory, decode and audio_images for a second of video at the audioset preset's settings, on
one core (the difference of two runs, so that start-up does not count). Counted: the networks' operations (no weights, no GPU).
Assumed, each by an option: cores of a machine, what a GPU sustains, prices. Prints Markdown tables for docs/scale-out.md.
"""

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

from pipeline.contracts.clips import read_clips
from pipeline.contracts.windows import window_starts
from pipeline.params import Params
from pipeline.params_reader import to_values
from pipeline.preset import preset_params
from stages.autoencoder.model import Shapes
from stages.autoencoder.size import size_of as autoencoder_size
from stages.dit.model import JointDiT
from stages.klvae.measure import size_of as klvae_size
from stages.klvae.model import KLVAE
from tests.benchmarks.material import clip_arguments, clips_or_made, say_load, scratch
from tests.benchmarks.project import Project

CPU_STAGES = ("inventory", "decode", "audio_images")
FEW = 4
"""Clips of the shorter run."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    clip_arguments(parser)
    parser.add_argument("--max-files", type=int, default=24, help="clips to measure with")
    parser.add_argument("--clips-total", type=int, default=100_000)
    parser.add_argument("--clip-sec", type=float, default=10.0)
    parser.add_argument("--machines", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--cores", type=int, default=32, help="of one machine, assumed")
    parser.add_argument("--gpus", type=int, default=8, help="of one machine, assumed")
    parser.add_argument("--gpu-tflops", type=float, default=300.0, help="10^12 operations a second that a GPU sustains in bf16, assumed "
                        "(about 30%% of what an H100's data sheet says)")
    parser.add_argument("--gpu-hour", type=float, default=2.5, help="price, assumed")
    parser.add_argument("--core-hour", type=float, default=0.04, help="price, assumed")
    parser.add_argument("--tb-month", type=float, default=23.0, help="price of storage, assumed")
    arguments = parser.parse_args()
    say_load()
    params = preset_params("audioset")
    with scratch() as folder:
        files = sorted(path for path in clips_or_made(arguments.clips, folder / "made").glob("*/*.*"))[:arguments.max_files]
        if len(files) <= FEW:
            sys.exit(f"{len(files)} clips, more than {FEW} needed")
        rates = measured(folder, params, files)
    print_rates(rates)
    print_plan(rates, params, arguments)


@dataclass(frozen=True, slots=True)
class Rate:
    """Of one stage."""

    core_sec: float
    """For a second of video."""
    bytes: float


def measured(folder: Path, params: Params, files: list[Path]) -> dict[str, Rate]:
    """Time and size of each stage for a second of video: between a run over a few clips and one over all of them."""
    few, every = (run(folder / str(len(some)), params, some) for some in (files[:FEW], files))
    seconds = every.seconds - few.seconds
    return {stage: Rate((every.core_sec[stage] - few.core_sec[stage]) / seconds, (every.bytes[stage] - few.bytes[stage]) / seconds)
            for stage in CPU_STAGES}


@dataclass(frozen=True, slots=True)
class Run:
    seconds: float
    core_sec: dict[str, float]
    bytes: dict[str, int]


def run(folder: Path, params: Params, files: list[Path]) -> Run:
    """The CPU stages over some clips, on one core."""
    for path in files:
        (folder / "raw" / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / "raw" / path.parent.name / path.name)
    sections: dict[str, dict[str, object]] = {name: to_values(getattr(params, name)) for name in ("clip", "audio", "audio_images")}
    project = Project(folder / "project", folder / "raw", compute={"num_workers": 1, "num_threads": 1}, **sections,
                      inventory={"max_rejected_share": 1.0, "test_share": 0.5}, demo_data={"clip_sec": 10.0},
                      vocoder={"iterations": 1})
    core_sec = {stage: project.stage(stage).cpu_sec for stage in CPU_STAGES}
    size = {stage: sum(path.stat().st_size for path in project.output(stage).rglob("*") if path.is_file()) for stage in CPU_STAGES}
    return Run(float(read_clips(project.output("inventory"))["duration_sec"].sum()), core_sec, size)


@dataclass(frozen=True, slots=True)
class Counted:
    """10^9 operations, and bytes, of the stages that need a GPU."""

    gflop: dict[str, float]
    bytes: dict[str, float]


def counted(params: Params, clips: int, clip_sec: float) -> Counted:
    """Of so many clips; of the trainings, of all their steps (forward and backward: three forward passes)."""
    frames = round(clip_sec * params.clip.fps)
    windows = len(window_starts(frames, params.clip))
    side = params.clip.frame_size_px // params.kl_latent.factor
    with torch.device("meta"):
        levels = len(params.klvae.block_channels)
        images = KLVAE(AutoencoderKL(block_out_channels=params.klvae.block_channels, layers_per_block=2, latent_channels=4,
                                     down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels))
        dit = JointDiT(params.dit, (16, 8, 8), (16, 16, 16), num_classes=2, text_shape=(77, 768))
    kl = klvae_size(images, params.clip.frame_size_px)
    shapes = Shapes(kl_channels=4, kl_side=side, num_frames=params.clip.num_frames, class_names=("sound",))
    ae = autoencoder_size(params.autoencoder, shapes, params.clip.frame_size_px)
    pictures = (frames + windows) * (2 if params.encode.flips else 1)
    shown = params.autoencoder.num_target_frames + 1
    one_window = ae["gflop_encode"] + shown * ae["gflop_unet"]
    one_sample = params.sample.steps * 2 * 2 * dit.multiply_adds / 1e9 + ae["gflop_decode"]

    def steps(train: object) -> float:
        return train.steps * train.batch_size * train.grad_accumulation  # type: ignore[attr-defined]

    gflop = {
        "klvae (decoder finetuned)": steps(params.klvae.train) * (kl["gflop_encode"] + 3 * kl["gflop_decode"]),
        "encode": clips * pictures * kl["gflop_encode"],
        "autoencoder": steps(params.autoencoder.train) * 3 * one_window,
        "latents": clips * windows * ae["gflop_encode"],
        "dit": steps(params.dit.train) * 3 * 2 * dit.multiply_adds / 1e9,
        "sample (2,000)": 2000 * one_sample,
    }
    latent = 2 * 2 * (16 * 8 * 8 + 16 * 16 * 16)
    return Counted(gflop, {"encode": clips * pictures * 2 * 8 * side * side, "latents": clips * windows * latent})


def print_rates(rates: dict[str, Rate]) -> None:
    """What was measured here."""
    print("| stage | CPU seconds for a second of video | kB for a second of video |\n|---|---|---|")
    for stage, rate in rates.items():
        print(f"| {stage} | {rate.core_sec:.3f} | {rate.bytes / 1000:.1f} |")
    print()


def print_plan(rates: dict[str, Rate], params: Params, arguments: argparse.Namespace) -> None:
    """Hours, sizes and prices."""
    seconds = arguments.clips_total * arguments.clip_sec
    gpu = counted(params, arguments.clips_total, arguments.clip_sec)
    rows: list[tuple[str, str, float, float, float]] = [
        (stage, "cores", seconds * rate.core_sec / 3600, arguments.cores, seconds * rate.bytes) for stage, rate in rates.items()]
    rows += [(stage, "GPUs", gflop * 1e9 / (arguments.gpu_tflops * 1e12) / 3600, arguments.gpus, gpu.bytes.get(stage, 0.0))
             for stage, gflop in gpu.gflop.items()]
    head = " | ".join(f"hours on {count} machine{'s' * (count > 1)}" for count in arguments.machines)
    print(f"{arguments.clips_total:,} clips of {arguments.clip_sec:g} s; a machine has {arguments.cores} cores and {arguments.gpus} GPUs "
          f"of {arguments.gpu_tflops:g} TFLOP/s.\n")
    print(f"| stage | hours of one core or GPU | {head} | output, GB | price |\n|---|---|{'---|' * len(arguments.machines)}---|---|")
    total = 0.0
    for stage, kind, hours, units, size in rows:
        price = hours * (arguments.core_hour if kind == "cores" else arguments.gpu_hour)
        total += price
        spread = " | ".join(f"{hours / units / count:,.1f}" for count in arguments.machines)
        print(f"| {stage} | {hours:,.0f} {kind} | {spread} | {size / 1e9:,.0f} | {price:,.0f} |")
    stored = sum(row[4] for row in rows)
    print(f"| all | | {' | '.join('' for _ in arguments.machines)} | {stored / 1e9:,.0f} | {total:,.0f} and "
          f"{stored / 1e12 * arguments.tb_month:,.0f} a month of storage |")


if __name__ == "__main__":
    main()
