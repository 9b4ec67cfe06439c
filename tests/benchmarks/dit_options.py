"""What each option of the DiT does on the latents of a finished project: python -m tests.benchmarks.dit_options --data data

Each row trains the DiT of params.yaml for the same number of steps, with one option changed; the second row has nothing changed but the
seed, so the difference of the first two is what chance does. Networks that predict noise, velocity or flow are compared in one unit: the
mean squared error of the clean latents that follow from the prediction, at five signal-to-noise ratios (those of the base's timesteps
100, 300, 500, 700, 900), on held-out windows with fixed noise. `heard`: the error of a2v's pictures given another sound over that given
their own; 1: the sound is not heard.
"""

import argparse
import itertools
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from pipeline.contracts.latents import LatentStatistics, read_statistics
from pipeline.contracts.outputs import Work
from pipeline.params import ComputeParams, DiTParams, Params, load_params
from pipeline.training import Phase, train
from stages.dit.checkpoint import make_network
from stages.dit.conditions import Conditions
from stages.dit.data import Posteriors, evenly_spaced, mean, open_posteriors
from stages.dit.diffusion import Diffusion
from stages.dit.model import NULL_CLASS
from stages.dit.objective import DiTLoss
from stages.dit.train import batches
from tests.benchmarks.tables import print_table

WINDOWS = 128
STEPS_OF_BASE = (100, 300, 500, 700, 900)
OPTIONS: dict[str, dict[str, object]] = {
    "base": {},
    "another seed": {},
    "no zero-terminal SNR": {"zero_terminal_snr": False},
    "QK-norm": {"qk_norm": True},
    "RoPE": {"positions": "rope"},
    "min-SNR 5, no zero-terminal SNR": {"zero_terminal_snr": False, "min_snr_gamma": 5.0},
    "logit-normal timesteps": {"timesteps": "logit_normal"},
    "epsilon (the paper)": {"prediction": "epsilon", "zero_terminal_snr": False},
    "flow": {"prediction": "flow", "zero_terminal_snr": False},
}


@dataclass(frozen=True, slots=True)
class Data:
    """What every row is trained and measured on."""

    params: Params
    statistics: LatentStatistics
    training: Posteriors
    held_out: dict[str, Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"), help="of a project whose stage latents has finished")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--options", nargs="+", choices=list(OPTIONS), default=list(OPTIONS))
    arguments = parser.parse_args()
    params, latents = load_params(arguments.params), arguments.data / "latents"
    held_out = open_posteriors(latents, "test")
    data = Data(params, read_statistics(latents), open_posteriors(latents, "train"),
                held_out.batch(evenly_spaced(len(held_out.windows), WINDOWS)))
    rows = []
    for name in arguments.options:
        base = replace(params.dit, continuation_share=0.0, context="class" if params.dit.context == "text" else params.dit.context)
        dit = replace(base, **OPTIONS[name])  # type: ignore[arg-type]
        dit = replace(dit, train=replace(dit.train, steps=arguments.steps, warmup_steps=min(dit.train.warmup_steps, arguments.steps),
                                         log_every=arguments.steps, checkpoint_every=arguments.steps))
        rows.append([name, *measure(data, dit, seed=params.seed + (name == "another seed"))])
    print_table(["option", *(f"t {t}" for t in STEPS_OF_BASE), "mean", "heard", "s/step"], rows)


def measure(data: Data, dit: DiTParams, seed: int) -> list[float]:
    """One row: errors by signal-to-noise ratio, their mean, `heard`, median seconds of a step."""
    torch.manual_seed(seed)
    asked: list[float] = []
    batch_at = batches(data.training, dit, data.params.clip.num_frames, seed)

    def timed(step: int) -> dict[str, Tensor]:
        asked.append(time.perf_counter())
        return batch_at(step)

    compute = ComputeParams(device="auto", num_threads=0, num_workers=1, dask_scheduler=None)
    with tempfile.TemporaryDirectory() as folder:
        trained = train("dit", dit.train, [Phase("dit", DiTLoss(make_network(dit, data.statistics), data.statistics))], timed, seed=seed,
                        compute=compute, work=Work(Path(folder), Path(folder), {}))
    assert isinstance(trained, DiTLoss)
    errors = [clean_error(trained, data.held_out, ratio) for ratio in ratios()]
    own, shuffled = (sum(one[place] for one in errors) for place in (1, 2))
    seconds = sorted(after - before for before, after in itertools.pairwise(asked))
    joint = [one[0] for one in errors]
    return [*joint, sum(joint) / len(joint), shuffled / own, seconds[len(seconds) // 2]]


def ratios() -> list[float]:
    """Signal over noise, in amplitude, at `STEPS_OF_BASE` of the zero-terminal schedule."""
    abar = Diffusion("v_prediction", True).alphas_cumprod[list(STEPS_OF_BASE)]
    return (abar / (1 - abar)).sqrt().tolist()


@torch.no_grad()
def clean_error(module: DiTLoss, batch: dict[str, Tensor], ratio: float) -> tuple[float, float, float]:
    """Squared error of the clean latents: of both modalities given the class, of the picture given its sound, and given another's."""
    diffusion, device = module.diffusion, module.diffusion.alphas_cumprod.device
    audio, video = module.scale.normalise(mean(batch["audio"]).to(device), mean(batch["video"]).to(device))
    generator = torch.Generator().manual_seed(0)
    noises = [torch.randn(z.shape, generator=generator).to(device) for z in (audio, video)]
    t = timestep_at(diffusion, ratio).to(device).expand(len(audio))
    one, zero = torch.ones(len(audio), 1, device=device), torch.zeros(len(audio), 1, device=device)
    signal, spread = diffusion.add_noise(one, zero, t)[:, 0], diffusion.add_noise(zero, one, t)[:, 0]
    # An error e of the noise is one of e spread / signal of z^0, of v or of the flow one of e spread.
    factor = (spread / signal if diffusion.prediction == "epsilon" else spread) ** 2
    class_id, none = batch["class_id"].to(device), torch.full((len(audio),), NULL_CLASS, device=device)
    other = audio.roll(len(audio) // 2, 0)
    nothing = torch.zeros_like(audio), torch.zeros_like(video)
    joint = module.total(*module.errors(audio, video, *noises, t, Conditions(*nothing, class_id)))
    own = module.errors(audio, video, *noises, t, Conditions(audio, nothing[1], none))[1]
    shuffled = module.errors(other, video, *noises, t, Conditions(other, nothing[1], none))[1]
    return float((joint * factor).mean()), float((own * factor).mean()), float((shuffled * factor).mean())


def timestep_at(diffusion: Diffusion, ratio: float) -> Tensor:
    """The timestep of this schedule at which signal over noise is `ratio`."""
    if diffusion.prediction == "flow":
        return torch.tensor([1000 / (1 + ratio)])
    abar = diffusion.alphas_cumprod.cpu()
    return (abar - ratio**2 / (1 + ratio**2)).abs().argmin()[None]


if __name__ == "__main__":
    main()
