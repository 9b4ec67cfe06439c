"""Time and memory of the DiT, trained and sampled: python -m tests.benchmarks.dit_step [--device cuda]

Each row runs in a process of its own on random latents: the demo's network and, on a GPU or where --sizes asks for it, the published one
(1152 wide, 28 deep, 322 tokens). Training: at the batch given (the paper's table has 2) and, on a GPU, at the largest power of two that
has room. Sampling: the latents alone, guided, with 50 steps of DDIM as in the paper and with a second-order solver in fewer.
The share is that of the speed of a large matrix product of the same precision in the same process: what the machine does at best.
The paper, on a V100: 0.38 s a training step at batch 2, 8.7 s a sample.
"""

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from pipeline.contracts.latents import LatentStatistics
from pipeline.contracts.outputs import Work
from pipeline.params import ComputeParams, DiTParams, load_params
from pipeline.training import Phase, pick_device, train
from stages.dit import LatentScale, TrainedDiT
from stages.dit.checkpoint import make_network
from stages.dit.diffusion import Diffusion
from stages.dit.objective import DiTLoss
from stages.dit.sizes import AUDIO_SHAPE, VIDEO_SHAPE
from stages.sample.samplers import Sampling
from stages.sample.tasks import Request, generate
from tests.benchmarks.machine import peak_tflops
from tests.benchmarks.tables import print_table

PRESETS = Path(__file__).parents[2] / "pipeline" / "presets"
SIZES = {"demo": ("demo.yaml", (16, 2, 2), (16, 2, 2)), "published": ("landscape.yaml", AUDIO_SHAPE, VIDEO_SHAPE)}
"""Preset, shapes of z_a and z_v."""
MOST = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), help="(demo; on a GPU both)")
    parser.add_argument("--batch", type=int, help="of training and sampling (demo: the preset's; published: 2)")
    parser.add_argument("--steps", type=int, default=5, help="timed training steps; the median counts")
    parser.add_argument("--fast", nargs=2, default=("dpm_solver", "15"), metavar=("SAMPLER", "STEPS"), help="beside 50 steps of DDIM")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    compute = ComputeParams(device=arguments.device, num_threads=0, num_workers=1, dask_scheduler=None)
    if arguments.one:
        size, work, batch = arguments.one
        print(json.dumps(train_step(size, int(batch), arguments.steps, compute) if work == "train" else
                         sample(size, work, int(batch), compute)))
        return
    on_gpu, rows = pick_device(compute).type == "cuda", []
    for size in arguments.sizes or (list(SIZES) if on_gpu else ["demo"]):
        first = arguments.batch or (load_params(PRESETS / SIZES[size][0]).dit.train.batch_size if size == "demo" else 2)
        batches = [first, *([2**power for power in range(MOST.bit_length()) if first < 2**power <= MOST] if on_gpu else [])]
        trained = []
        for batch in batches:
            found = one(size, "train", batch, arguments)
            if found is None:
                break
            trained.append([f"{size}: train", batch, *found])
        rows += [trained[0], trained[-1]] if len(trained) > 1 else trained
        for sampler, steps in (("ddim", "50"), arguments.fast):
            found = one(size, f"{sampler}:{steps}", first, arguments)
            rows += [[f"{size}: sample, {sampler} {steps}", first, *found]] if found else []
    print_table(["", "batch", "s/step", "s/sample", "TFLOP/s", "share", "GiB"], rows)


def one(size: str, work: str, batch: int, arguments: argparse.Namespace) -> list[object] | None:
    """One row's figures from a process of its own; None: it has no room."""
    command = [sys.executable, "-m", "tests.benchmarks.dit_step", "--one", size, work, str(batch), "--device", arguments.device,
               "--steps", str(arguments.steps)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        if "OutOfMemoryError" not in done.stderr:
            sys.exit(done.stderr)
        return None
    found = json.loads(done.stdout.splitlines()[-1])
    return [found[name] for name in ("step_sec", "sample_sec", "tflops", "share", "gib")]


def parts(size: str) -> tuple[DiTParams, LatentStatistics]:
    """The preset's params without a continuation branch, and statistics of its latents."""
    preset, audio, video = SIZES[size]
    statistics = LatentStatistics(audio, video, (0.0,) * audio[0], (1.0,) * audio[0], (0.0,) * video[0], (1.0,) * video[0],
                                  tuple(f"class {i}" for i in range(9)))
    return replace(load_params(PRESETS / preset).dit, continuation_share=0.0), statistics


def train_step(size: str, batch: int, steps: int, compute: ComputeParams) -> dict[str, float]:
    """The stage's own loop on random posteriors."""
    dit, statistics = parts(size)
    options = replace(dit.train, steps=steps + 3, batch_size=batch, grad_accumulation=1, warmup_steps=0, log_every=10**6,
                      checkpoint_every=10**6)
    asked: list[float] = []

    def batch_at(step: int) -> dict[str, Tensor]:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        asked.append(time.perf_counter())
        shapes = {"audio": statistics.audio_shape, "video": statistics.video_shape}
        return {**{name: torch.randn(batch, 2 * c, h, w).half() for name, (c, h, w) in shapes.items()},
                "class_id": torch.zeros(batch, dtype=torch.long)}

    network = make_network(dit, statistics)
    with tempfile.TemporaryDirectory() as folder:
        train("dit", options, [Phase("dit", DiTLoss(network, statistics))], batch_at, seed=0, compute=compute,
              work=Work(Path(folder), Path(folder), {}))
    seconds = sorted(after - before for before, after in itertools.pairwise(asked))
    step_sec = seconds[len(seconds) // 2]
    return figures(step_sec, step_sec / batch, 3 * 2 * network.multiply_adds * batch / step_sec, pick_device(compute), dit.train.precision)


def sample(size: str, sampling: str, batch: int, compute: ComputeParams) -> dict[str, float]:
    """Guided latents of random weights; the second of two runs counts."""
    dit, statistics = parts(size)
    device, (sampler, steps) = pick_device(compute), sampling.split(":")
    network = make_network(dit, statistics).to(device).eval().requires_grad_(False)
    trained = TrainedDiT(network, dit, statistics, LatentScale(statistics).to(device),
                         Diffusion(dit.prediction, dit.zero_terminal_snr).to(device), device)
    request = Request("svg", list(range(batch)), torch.zeros(batch, dtype=torch.long))
    for _ in range(2):
        started = time.perf_counter()
        audio, _ = generate(trained, request, Sampling(sampler, int(steps), 2.0))  # type: ignore[arg-type]
        audio.sum().item()  # waits for the GPU
        seconds = time.perf_counter() - started
    passes = 2 * int(steps) * batch  # guided: with and without the class
    return figures(seconds / int(steps), seconds / batch, 2 * network.multiply_adds * passes / seconds, device, "fp32")


def figures(step_sec: float, sample_sec: float, flops: float, device: torch.device, precision: str) -> dict[str, float]:
    """What a row shows; memory before the rival's own is taken."""
    gib = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    precision = "fp32" if precision == "fp16" and device.type == "cpu" else precision  # as the training loop does
    return {"step_sec": step_sec, "sample_sec": sample_sec, "tflops": flops / 1e12, "share": flops / 1e12 / peak_tflops(device, precision),
            "gib": gib}


if __name__ == "__main__":
    main()
