"""Time and memory of one training step of the KL-VAE, and of encoding: python -m tests.benchmarks.klvae_step

Each row runs in a process of its own, on the GPU where there is one: the demo's training, the finetuning of a decoder of Stable
Diffusion's size (random weights) with each of its losses, and encoding with the same network. The share is that of the speed of
a large matrix product or convolution of the same precision in the same process: what the machine does at best, if it is idle.
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
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor

from pipeline.contracts.outputs import Work
from pipeline.params import ComputeParams, KLVAEParams, load_params
from pipeline.training import pick_device
from stages.encode.moments import Encoder
from stages.klvae.model import KLVAE, build_scratch
from stages.klvae.pretrained import PerceptualDistance
from stages.klvae.train import fit, freeze_encoder
from tests.benchmarks.machine import clock, count_tflop, memory_gib, peak_tflops

PRESETS = Path(__file__).parents[2] / "pipeline" / "presets"
ROWS = {"demo": "demo: scratch", "l1": "finetuning: L1", "lpips": "finetuning: L1, LPIPS",
        "all": "finetuning: L1, LPIPS, discriminator", "encode": "encode"}


class RandomImages:
    """In the place of the training images; notes when each batch is asked for, that is when each step begins."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.asked: list[float] = []

    def batch(self, size: int, seed: int, *, audio_share: float = 0.5, shared: bool = False) -> Tensor:
        self.asked.append(time.perf_counter())
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(0, 256, (size, self.side, self.side, 3), dtype=torch.uint8, generator=generator)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--side", type=int, default=256, help="px of the finetuning's and of encode's images")
    parser.add_argument("--batch", type=int, default=2, help="images of one step of the finetuning, an even number")
    parser.add_argument("--steps", type=int, default=2, help="timed steps; the median counts (on a CPU one of 256 px takes half a minute)")
    parser.add_argument("--threads", type=int, default=0, help="0: every core")
    parser.add_argument("--one", choices=list(ROWS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments)))
        return
    print(f"{'':<38} {'px':>4} {'images':>6} {'precision':>9} {'s/step':>8} {'images/s':>8} {'TFLOP/step':>10} {'share':>6} {'GiB':>6}")
    for row in arguments.rows:
        command = [sys.executable, "-m", "tests.benchmarks.klvae_step", "--one", row]
        for name in ("side", "batch", "steps", "threads"):
            command += [f"--{name}", str(getattr(arguments, name))]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            print(f"{ROWS[row]:<38} failed: {done.stderr.strip().splitlines()[-1]}")
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"{ROWS[row]:<38} {found['side']:4} {found['images']:6} {found['precision']:>9} {found['sec']:8.3f} "
              f"{found['images'] / found['sec']:8.2f} {found['tflop']:10.3f} {found['tflop'] / found['sec'] / found['peak']:6.0%} "
              f"{found['gib']:6.1f}", flush=True)


def measure(row: str, arguments: argparse.Namespace) -> dict[str, float | str]:
    """One row, in this process."""
    compute = ComputeParams(device="auto", num_threads=arguments.threads, num_workers=1, dask_scheduler=None)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = pick_device(compute)
    params = load_params(PRESETS / ("demo.yaml" if row == "demo" else "landscape.yaml"))
    side = params.clip.frame_size_px if row == "demo" else arguments.side
    klvae = params.klvae if row == "demo" else finetuning(params.klvae, row, arguments.batch)
    klvae = replace(klvae, train=replace(klvae.train, grad_accumulation=1, warmup_steps=0, log_every=10**6, checkpoint_every=10**6))
    torch.manual_seed(0)
    network = build_scratch(klvae, params.kl_latent) if row == "demo" else stable_diffusions()
    if row == "encode":
        encoder = Encoder(KLVAE(network).eval().to(device), arguments.batch)
        images = RandomImages(side).batch(arguments.batch, 0)
        tflop = count_tflop(lambda: encoder.moments(images))
        seconds = [clock(lambda: encoder.moments(images)) for _ in range(1 + arguments.steps)][1:]
    else:
        model = KLVAE(network) if row == "demo" else freeze_encoder(KLVAE(network))
        perceptual = PerceptualDistance(random_vgg16()) if row in ("lpips", "all") else None
        tflop = count_tflop(lambda: steps_of(model, klvae, perceptual, compute, side, 1))
        seconds = steps_of(model, klvae, perceptual, compute, side, 2 + arguments.steps)[1:]
    precision = klvae.train.precision if row != "encode" else "fp32"
    gib = memory_gib(device)
    count = klvae.train.batch_size if row == "demo" else arguments.batch
    return {"side": side, "images": count, "precision": precision, "sec": sorted(seconds)[len(seconds) // 2], "tflop": tflop,
            "peak": peak_tflops(device, precision), "gib": gib}


def finetuning(klvae: KLVAEParams, row: str, batch: int) -> KLVAEParams:
    """The paper's finetuning with the losses of a row, from the first step."""
    return replace(klvae, loss=replace(klvae.loss, adversarial=klvae.loss.adversarial if row == "all" else 0.0),
                   discriminator=replace(klvae.discriminator, start_step=0), train=replace(klvae.train, batch_size=batch))


def stable_diffusions() -> AutoencoderKL:
    """Stable Diffusion's KL-VAE with random weights: 83.7M parameters."""
    return AutoencoderKL(block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
                         up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2, latent_channels=4)


def random_vgg16() -> dict[str, Tensor]:
    from torchvision.models import vgg16

    return {name: value for name, value in vgg16(weights=None).state_dict().items() if name.startswith("features.")}


def steps_of(model: KLVAE, klvae: KLVAEParams, perceptual: PerceptualDistance | None, compute: ComputeParams, side: int,
             count: int) -> list[float]:
    """Seconds of each but the last of `count` steps of the stage's own training."""
    images = RandomImages(side)
    with tempfile.TemporaryDirectory() as folder:
        work = Work(Path(folder), Path(folder), {})
        fit(0, compute, replace(klvae, train=replace(klvae.train, steps=count)), model, perceptual, images, work)  # type: ignore[arg-type]
    return [after - before for before, after in zip(images.asked, images.asked[1:], strict=False)]


if __name__ == "__main__":
    main()
