"""Time and memory of a training step of the autoencoder, and of decoding: python -m tests.benchmarks.autoencoder_step

Each row runs in a process of its own, on the GPU where there is one: the demo's training with and without its adversarial steps, the
paper's (random weights of Stable Diffusion's shape) at some batch sizes, and decoding by the number of steps. The share is that of
the speed of a large matrix product or convolution of the same precision in the same process: what the machine does at best.
The paper's rows need a GPU: its training holds 23 GB of weights, moments and averages alone.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from pipeline.contracts.outputs import Work
from pipeline.params import AutoencoderParams, ComputeParams, KLLatentParams, Params, PretrainedParams, load_params
from pipeline.training import pick_device
from stages.autoencoder.model import Autoencoder, MultiModalAutoencoder, Shapes
from stages.autoencoder.size import size_of
from stages.autoencoder.train import fit
from stages.klvae.model import KLVAE, build_scratch
from tests.benchmarks.klvae_step import stable_diffusions
from tests.benchmarks.machine import clock, count_tflop, memory_gib, peak_tflops

PRESETS = Path(__file__).parents[2] / "pipeline" / "presets"
NOTHING = PretrainedParams(source=None, revision=None, subfolder=None, sha256=None)
LARGEST = 256
TRAINING = {"demo": "demo: step", "demo-adversarial": "demo: adversarial step", "paper": "paper: step"}
DECODING = {"demo-decode": "demo: decode, 1 step", "demo-decode-50": "demo: decode, 50 steps, guided",
            "paper-decode": "paper: decode, DDIM 50, guided", "paper-decode-15": "paper: decode, DPM-Solver++ 15, guided"}
ROWS = TRAINING | DECODING


class RandomWindows:
    """In the place of the encode stage's windows; notes when each batch is asked for, that is when each step begins."""

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        self.asked: list[float] = []

    def training_batch(self, step: int, size: int, seed: int) -> dict[str, Tensor]:
        self.asked.append(time.perf_counter())
        c, side, f = self.shapes.kl_channels, self.shapes.kl_side, self.shapes.num_frames
        generator = torch.Generator().manual_seed(step)
        video, audio = (torch.randn(*shape, 2 * c, side, side, generator=generator) for shape in ((size, f), (size,)))
        video[:, :, c:], audio[:, c:] = -8, -8
        return {"video": video.half(), "audio": audio.half(), "class_id": torch.zeros(size, dtype=torch.long)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=None, help="default: the demo's, and the paper's where a GPU is")
    parser.add_argument("--batch", type=int, default=2, help="windows of a step of the paper's training")
    parser.add_argument("--largest", action="store_true", help="find the largest batch of the paper's training that has room, too")
    parser.add_argument("--windows", type=int, default=8, help="windows decoded at once (the paper's: 2)")
    parser.add_argument("--steps", type=int, default=4, help="timed repeats; the median counts")
    parser.add_argument("--threads", type=int, default=0, help="0: every core")
    parser.add_argument("--one", choices=list(ROWS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments)))
        return
    rows = arguments.rows or [row for row in ROWS if torch.cuda.is_available() or row.startswith("demo")]
    print(f"{'':<40} {'windows':>7} {'precision':>9} {'s':>8} {'windows/s':>9} {'TFLOP':>8} {'share':>6} {'GiB':>6}")
    for row in rows:
        show(row, arguments.batch, arguments)
    if arguments.largest:
        batch = 2 * arguments.batch
        while batch <= LARGEST and show("paper", batch, arguments):
            batch *= 2
        good, bad = batch // 2, batch
        while bad - good > 1:
            middle = (good + bad) // 2
            good, bad = (middle, bad) if show("paper", middle, arguments) else (good, middle)
        print(f"largest batch of the paper's training that has room: {good}")


def show(row: str, batch: int, arguments: argparse.Namespace) -> bool:
    """Run one row in a process of its own and print its line; false when it failed."""
    command = [sys.executable, "-m", "tests.benchmarks.autoencoder_step", "--one", row, "--batch", str(batch)]
    for name in ("windows", "steps", "threads"):
        command += [f"--{name}", str(getattr(arguments, name))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"{ROWS[row]:<40} {batch if row == 'paper' else '':>7} failed: {done.stderr.strip().splitlines()[-1][:90]}", flush=True)
        return False
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{ROWS[row]:<40} {found['windows']:7} {found['precision']:>9} {found['sec']:8.3f} {found['windows'] / found['sec']:9.2f} "
          f"{found['tflop']:8.3f} {found['tflop'] / found['sec'] / found['peak']:6.0%} {found['gib']:6.1f}", flush=True)
    return True


def measure(row: str, arguments: argparse.Namespace) -> dict[str, float | str]:
    """One row, in this process."""
    compute = ComputeParams(device="auto", num_threads=arguments.threads, num_workers=1, dask_scheduler=None)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device, preset = pick_device(compute), row.split("-")[0]
    params = load_params(PRESETS / f"{'landscape' if preset == 'paper' else 'demo'}.yaml")
    ae = settings(params.autoencoder, row, arguments.batch)
    latent: KLLatentParams = params.kl_latent
    shapes = Shapes(latent.channels, params.clip.frame_size_px // latent.factor, params.clip.num_frames, tuple("abcdefghi"))
    torch.manual_seed(0)
    if row in DECODING:
        count = 2 if preset == "paper" else arguments.windows
        seconds, tflop = decoding(ae, shapes, count, device, arguments.steps, params.clip.frame_size_px)
    else:
        network = stable_diffusions() if preset == "paper" else build_scratch(params.klvae, latent)
        klvae = KLVAE(network).eval().requires_grad_(False).to(device)
        count = ae.train.batch_size
        tflop = count_tflop(lambda: training(params, ae, shapes, klvae, compute, 1))
        seconds = training(params, ae, shapes, klvae, compute, 2 + arguments.steps)[1:]
    precision, gib = ae.train.precision, memory_gib(device)
    return {"windows": count, "precision": precision, "sec": sorted(seconds)[len(seconds) // 2], "tflop": tflop,
            "peak": peak_tflops(device, precision), "gib": gib}


def settings(params: AutoencoderParams, row: str, batch: int) -> AutoencoderParams:
    """Of a row: random weights, no accumulation, and every step adversarial or none."""
    size = batch if row == "paper" else params.train.batch_size
    decoder = replace(params.signal_decoder, pretrained=NOTHING)
    if row == "demo-decode-50":
        decoder = replace(decoder, inference_steps=50, audio_guidance_scale=2.5, video_guidance_scale=2.5)
    if row == "paper-decode-15":
        decoder = replace(decoder, inference_steps=15, sampler="dpm_solver")
    return replace(params, signal_decoder=decoder, discriminator=replace(params.discriminator, start_step=0, every_steps=1),
                   loss=replace(params.loss, adversarial=0.0 if row == "demo" else params.loss.adversarial),
                   train=replace(params.train, batch_size=size, grad_accumulation=1, warmup_steps=0, log_every=10**6,
                                 checkpoint_every=10**6))


def training(params: Params, ae: AutoencoderParams, shapes: Shapes, klvae: KLVAE, compute: ComputeParams, count: int) -> list[float]:
    """Seconds of each but the last of `count` steps of the stage's own training."""
    windows = RandomWindows(shapes)
    with tempfile.TemporaryDirectory() as folder:
        work = Work(Path(folder), Path(folder), {})
        fit(0, compute, params.clip, replace(ae, train=replace(ae.train, steps=count)), shapes, windows, None, klvae, work,  # type: ignore[arg-type]
            None)
    return [after - before for before, after in zip(windows.asked, windows.asked[1:], strict=False)]


def decoding(ae: AutoencoderParams, shapes: Shapes, count: int, device: torch.device, repeats: int, side: int) -> tuple[list[float], float]:
    """Seconds of decoding `count` windows to KL-VAE latents, and 10^12 operations of it."""
    autoencoder = Autoencoder(MultiModalAutoencoder(ae, shapes).requires_grad_(False), device)
    size = size_of(ae, shapes, side)
    audio, video = (torch.randn(count, int(size[f"{name}_latent_channels"]), *2 * [int(size[f"{name}_latent_side"])])
                    for name in ("audio", "video"))

    def work() -> float:
        return float(autoencoder.decode(audio, video, seeds=list(range(count)))[1].sum())  # the sum waits for the GPU

    return [clock(work) for _ in range(1 + repeats)][1:], count * size["gflop_decode"] / 1e3


if __name__ == "__main__":
    main()
