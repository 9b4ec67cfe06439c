"""The one training loop, on accelerate: every network of every stage is trained by `train`.

A stage hands over its phases (a module whose forward gives the losses, and one optimizer each) and a function from a
step to a batch. Each step is a function of (seed, step) and of the state alone, so 10 steps are 5 + 5 to the bit; on
several processes (pipeline/processes.py) each takes its items of the batch (pipeline/shared_batch.py), and only rounding differs.
"""

import copy
import csv
import json
import math
import os
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from pipeline import sharding
from pipeline.contracts.outputs import Work, atomic_path
from pipeline.contracts.weights_folder import read_weights
from pipeline.errors import TrainingError, WeightsError
from pipeline.live_curves import LiveCurves
from pipeline.params import ComputeParams, TrainParams
from pipeline.processes import rank, wait_for_all, world_size
from pipeline.progress import human_seconds, say
from pipeline.seeds import derive_seed
from pipeline.training_options import compile_blocks, recompute_activations, set_memory_format

Batch = dict[str, Tensor]


@dataclass(slots=True)
class Phase:
    """One optimizer and the loss that it descends."""

    name: str
    """"generator", "discriminator": prefix of its losses in the log."""
    module: nn.Module
    """forward(batch) -> {"loss": scalar to descend, ...: scalars to log, ...: tensors with axes, detached, for the later phases' batch}."""
    start_step: int = 0
    """Steps before it are skipped for this phase."""
    every_steps: int = 1
    """Only steps that it divides are taken."""
    frozen: Sequence[nn.Module] = ()
    """Networks that gradients pass through, which are not trained: they get the training's options for memory and speed too."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Of AdamW: memory of the mean gradient and of its square."""


def pick_device(compute: ComputeParams) -> torch.device:
    """The device that `compute.device` names; `auto` takes CUDA where there is one."""
    if compute.device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("the device asked for (compute.device or --device) is cuda, and torch sees no GPU; take auto or cpu")
    if compute.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    # cuDNN's attention fails on some shapes ("Expected mha_graph.execute ...", PyTorch issue 134001); there are three other kernels.
    torch.backends.cuda.enable_cudnn_sdp(False)
    return torch.device("cuda")


def pick_devices(compute: ComputeParams) -> list[torch.device]:
    """For work that several devices can share: every GPU, or the CPU."""
    device = pick_device(compute)
    return [device] if device.type == "cpu" else [torch.device("cuda", i) for i in range(torch.cuda.device_count())]


def train(
    stage: str,
    params: TrainParams,
    phases: Sequence[Phase],
    batch_at: Callable[[int], Batch],
    *,
    seed: int,
    compute: ComputeParams,
    work: Work,
    validate: Callable[[nn.Module], Mapping[str, float]] | None = None,
) -> nn.Module:
    """Train until `params.steps`, from the last checkpoint in `work.scratch` if there is one.

    Args:
        stage: name for the log lines and the seeds.
        phases: run in this order on the same batch of each step.
        batch_at: the CPU tensors of a step, of this process's items; a pure function of its argument (a step counts
            `grad_accumulation` batches).
        seed: `seed` of params.yaml.
        work: `train.jsonl` and `curves.csv` go to its folder, checkpoints to its scratch.
        validate: scalars of the averaged first module, every `checkpoint_every` steps and at the end.

    Returns:
        The averaged (EMA) module of the first phase, or the module itself without EMA; in eval mode, on the device.

    Raises:
        TrainingError: a loss is not finite (raised before the optimizer moves), or the processes cannot share a batch evenly.
    """
    if params.batch_size % world_size():
        raise TrainingError(f"params.yaml: {stage}.train.batch_size is {params.batch_size}, which {world_size()} processes cannot share "
                            f"evenly; set a multiple of {world_size()}, or start fewer processes")
    AcceleratorState._reset_state(reset_partial_state=False)  # a stage may train several networks, each at its own precision
    with sharding.left_to_us():
        accelerator = Accelerator(mixed_precision={"fp32": "no"}.get(params.precision, params.precision),
                                  cpu=pick_device(compute).type == "cpu",
                                  # Buffers are constants: there is nothing to send around before each pass.
                                  kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)])
    device = accelerator.device
    networks = [network for phase in phases for network in (phase.module.to(device), *phase.frozen)]
    if params.channels_last:
        set_memory_format(networks, channels_last=True)
    sharded = sharding.is_asked_for()
    if sharded:
        require_shardable(stage, params)
    apart = params.ema_decay or sharded  # a sharded module is of no use alone
    average = copy.deepcopy(phases[0].module).eval().requires_grad_(False) if apart else phases[0].module
    if params.compile:
        compile_blocks(networks, stage, device)
    if params.gradient_checkpointing:
        recompute_activations(networks)
    # The later phases' networks are small, and the first phase calls them by themselves: they stay whole.
    reduced = torch.bfloat16 if params.precision == "bf16" else None
    modules = [sharding.shard(phase.module, device, reduced) if sharded and phase is phases[0] else accelerator.prepare(phase.module)
               for phase in phases]
    optimizers = [accelerator.prepare(_optimizer(phase.module, params, phase.betas)) for phase in phases]
    state = _State([accelerator.unwrap_model(m) for m in modules], average, optimizers, accelerator.scaler, work,
                   sharding.ShardedAverage(modules[0]) if sharded else None)
    step = state.load(stage) if (work.scratch / CHECKPOINT).is_file() else 0
    count = sum(p.numel() for p in phases[0].module.parameters() if p.requires_grad)
    precision = "fp32 (fp16 needs a GPU)" if params.precision == "fp16" and accelerator.scaler is None else params.precision
    say(stage, f"{count / 1e6:.2f}M parameters | {params.steps} steps of {params.batch_size * params.grad_accumulation} | "
               f"{precision} on {device.type}" + (f" | {world_size()} processes" if world_size() > 1 else "")
               + (", each with its share of the weights" if sharded else "")
               + (f" | goes on at step {step}" if step else ""))

    log = _Log(stage, params.steps, step, work.folder / "train.jsonl", accelerator)
    while step < params.steps:
        learning_rate = params.learning_rate * lr_factor(step, params)
        for micro in range(params.grad_accumulation):
            losses: dict[str, Tensor] = {}
            torch.manual_seed(derive_seed(seed, stage, step, micro, 0))  # the same on every process, see pipeline/shared_batch.py
            batch = {name: value.to(device) for name, value in batch_at(step * params.grad_accumulation + micro).items()}
            last = micro == params.grad_accumulation - 1
            for phase, module, optimizer in zip(phases, modules, optimizers, strict=True):
                if step < phase.start_step or step % phase.every_steps:
                    continue
                if micro == 0:
                    optimizer.zero_grad(set_to_none=True)
                with nullcontext() if last else accelerator.no_sync(module):  # processes meet once a step
                    made = module(batch)
                    found = {name: value for name, value in made.items() if value.ndim == 0}
                    batch.update({name: value for name, value in made.items() if value.ndim})
                    _require_finite(stage, step, phase.name, found)
                    accelerator.backward(found["loss"] / params.grad_accumulation)
                losses.update({f"{phase.name}/{name}": value.detach() for name, value in found.items()})
                if last:
                    # accelerate's own clipping would unscale the other phases' half-made gradients too (fp16)
                    accelerator.unscale_gradients(optimizer)
                    norm = sharding.plain(nn.utils.clip_grad_norm_(module.parameters(), params.grad_clip))
                    losses[f"{phase.name}/grad_norm"] = norm
                    if accelerator.scaler is None:  # fp16's scaler skips such a step by design
                        _require_finite(stage, step, phase.name, {**found, "grad_norm": norm})
                    for group in optimizer.param_groups:
                        group["lr"] = learning_rate
                    optimizer.step()
            log.add(losses)
        step += 1
        decay = min(params.ema_decay, (1 + step) / (10 + step))
        if state.sharded_average is not None:
            state.sharded_average.update(decay)
        elif params.ema_decay:
            update_average(average, state.modules[0], decay)
        checkpoint_due = step % params.checkpoint_every == 0 or step == params.steps
        if checkpoint_due and state.sharded_average is not None:
            state.sharded_average.put_into(average)
        if step % params.log_every == 0 or step == params.steps or checkpoint_due:
            validation = dict(validate(average.eval())) if checkpoint_due and validate and rank() == 0 else {}
            log.write(step, learning_rate, validation)
            phases[0].module.train()
        if checkpoint_due:
            state.save(step, log.path)
    log.curves.end()
    if rank() == 0:
        write_curves(log.path, work.folder / "curves.csv")
    wait_for_all()
    if params.channels_last:
        set_memory_format([average], channels_last=False)  # safetensors takes no other
    return average.eval()


def begin_with(network: nn.Module, source: str | None, stage: str) -> None:
    """Give a fresh network the weights of an earlier output of its stage (`warm_start.<stage>`; None: leave it as it is).

    What has another shape by now (classes were added) keeps its random numbers.

    Raises:
        WeightsError: no weights are there, they are damaged, or none of them fits.
    """
    if source is None:
        return
    folder = Path(source)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise WeightsError(f"params.yaml: warm_start.{stage} is {folder}, which holds no .safetensors; run: dvc pull, or set it to null")
    earlier, own = read_weights(files[0]), network.state_dict()
    fitting = {name: value for name, value in earlier.items() if name in own and own[name].shape == value.shape}
    if not fitting:
        raise WeightsError(f"params.yaml: warm_start.{stage} is {folder}, whose weights are those of another network; set it to null")
    network.load_state_dict(fitting, strict=False)
    say(stage, f"begins with {len(fitting)} of {len(own)} tensors of {folder}")


def require_shardable(stage: str, params: TrainParams) -> None:
    """A sharded training can do what is asked.

    Raises:
        TrainingError: it cannot.
    """
    for name, asked, other in (("precision", params.precision == "fp16", "bf16"), ("channels_last", params.channels_last, "false")):
        if asked:
            raise TrainingError(f"params.yaml: {stage}.train.{name} is {getattr(params, name)}, which sharded weights do not go with; "
                                f"set it to {other}, or launch without --use_fsdp")


def lr_factor(step: int, params: TrainParams) -> float:
    """Share of the learning rate at a step: linear warm-up, then constant or cosine to zero."""
    if step < params.warmup_steps:
        return (step + 1) / params.warmup_steps
    if params.lr_schedule == "constant":
        return 1.0
    progress = (step - params.warmup_steps) / max(params.steps - params.warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * progress))


@torch.no_grad()
def update_average(average: nn.Module, module: nn.Module, decay: float) -> None:
    """Exponential moving average of the parameters; buffers are copied."""
    pairs = list(zip(average.parameters(), module.parameters(), strict=True))
    torch._foreach_lerp_([a for a, _ in pairs], [p.detach() for _, p in pairs], 1 - decay)
    for target, source in zip(average.buffers(), module.buffers(), strict=True):
        target.copy_(source)


CHECKPOINT = "checkpoint.pt"


@dataclass(slots=True)
class _State:
    """All that a resumed training needs; the data position and the random numbers follow from the step."""

    modules: list[nn.Module]
    average: nn.Module
    optimizers: list[torch.optim.Optimizer]
    scaler: torch.amp.GradScaler | None
    """Of fp16 on a GPU."""
    work: Work
    sharded_average: sharding.ShardedAverage | None = None
    """Of a sharded training; `average` is filled from it when it is needed whole."""

    def save(self, step: int, log: Path) -> None:
        """Called by all processes, as they may hold a part each; the first one writes."""
        modules, optimizers = ([sharding.gathered(part.state_dict()) for part in parts] for parts in (self.modules, self.optimizers))
        if rank() != 0:
            return
        values = {"step": step, "log_bytes": log.stat().st_size, "average": self.average.state_dict(), "modules": modules,
                  "optimizers": optimizers, "scaler": self.scaler.state_dict() if self.scaler else {}}
        with atomic_path(self.work.scratch / CHECKPOINT) as temporary:
            torch.save(values, temporary)

    def load(self, stage: str) -> int:
        """The step to go on from; 0, with nothing loaded, when the file is damaged."""
        path = self.work.scratch / CHECKPOINT
        try:
            with zipfile.ZipFile(path) as archive:  # torch.load does not look at the checksums that torch.save writes
                damaged = archive.testzip()
            values = {} if damaged else torch.load(path, map_location="cpu", weights_only=True)  # each process copies it to its device
        except Exception:  # a damaged zip makes both of them raise a dozen kinds
            values = {}
        if not values:
            say(stage, f"{path} is damaged; the training begins anew")
            return 0
        for module, saved in zip(self.modules, values["modules"], strict=True):
            sharding.load_module(module, saved)
        for optimizer, saved in zip(self.optimizers, values["optimizers"], strict=True):
            sharding.load_optimizer(optimizer, saved)
        self.average.load_state_dict(values["average"])
        if self.sharded_average is not None:
            self.sharded_average.take_from(self.average)
        if self.scaler and values["scaler"]:
            self.scaler.load_state_dict(values["scaler"])
        log = self.work.folder / "train.jsonl"
        if rank() == 0 and log.is_file():
            os.truncate(log, values["log_bytes"])  # lines after the checkpoint will be written again
        return int(values["step"])


class _Log:
    """Means of the losses since the last line, over all processes: JSON lines in a file, one plain line to stderr."""

    def __init__(self, stage: str, total: int, step: int, path: Path, accelerator: Accelerator) -> None:
        self.stage, self.total, self.path, self.accelerator = stage, total, path, accelerator
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.first_step, self.started, self.said = step, time.monotonic(), 0.0
        if step == 0 and rank() == 0:
            path.write_text("")
        self.curves = LiveCurves(stage, _lines(path) if rank() == 0 else ())

    def add(self, losses: dict[str, Tensor]) -> None:
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, torch.zeros((), device=value.device)) + value.float()
            self.counts[name] = self.counts.get(name, 0) + 1

    def write(self, step: int, learning_rate: float, validation: dict[str, float]) -> None:
        totals = self.accelerator.reduce(dict(self.sums), reduction="mean")
        means = {name: float(total) / self.counts[name] for name, total in totals.items()}
        if rank() != 0:
            self.sums.clear()
            self.counts.clear()
            return
        line = {"step": step, "lr": learning_rate, **means, **{f"val/{k}": float(v) for k, v in validation.items()}}
        rounded = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in line.items()}
        with self.path.open("a") as file:  # no time in the file: two runs leave the same bytes
            file.write(json.dumps(rounded) + "\n")
        self.curves.log(rounded)
        self.sums.clear()
        self.counts.clear()
        now = time.monotonic()
        if now - self.said > 10 or step == self.total:
            self.said = now
            rate = (step - self.first_step) / (now - self.started)
            shown = " ".join(f"{k.removesuffix('/loss')} {v:.4g}" for k, v in line.items() if k.endswith("loss") or k.startswith("val/"))
            say(self.stage, f"step {step:06d}/{self.total} ({100 * step / self.total:.1f}%) | {shown} | lr {learning_rate:.1e} | "
                            f"{rate:.1f} it/s | eta {human_seconds((self.total - step) / rate)}")


def write_curves(log: Path, table: Path) -> None:
    """The JSON lines as CSV, the form that `dvc plots` reads; a value absent from a line is an empty cell."""
    lines = _lines(log)
    columns = list(dict.fromkeys(name for line in lines for name in line))
    with atomic_path(table) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def _lines(log: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def _optimizer(module: nn.Module, params: TrainParams, betas: tuple[float, float]) -> torch.optim.Optimizer:
    weights = [p for p in module.parameters() if p.requires_grad]
    return torch.optim.AdamW(weights, lr=params.learning_rate, betas=betas, weight_decay=params.weight_decay, fused=True)


def _require_finite(stage: str, step: int, phase: str, losses: Mapping[str, Tensor]) -> None:
    if all(bool(torch.isfinite(value).all()) for value in losses.values()):
        return
    shown = ", ".join(f"{name} {float(value.detach()):.4g}" for name, value in losses.items())
    raise TrainingError(f"the {phase}'s loss is not finite at step {step} ({shown}); the optimizer has not moved. "
                        f"Lower the learning_rate of {stage} in params.yaml or take precision fp32, then run the same command")
