"""The measurement: timed steps of the training loop itself, timed sampling, and the largest batches that have room."""

import contextlib
import gc
import resource
import statistics as mean_values
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TypedDict

import torch

from pipeline.contracts.outputs import Work
from pipeline.params import Params
from pipeline.progress import say
from pipeline.training import Batch, Phase, pick_device, train
from stages.dit import NULL_CLASS
from stages.dit.objective import DiTLoss
from stages.efficiency.networks import EndToEnd, Networks, make_networks
from stages.sample.samplers import Sampling
from stages.sample.tasks import Request, generate

MOST = 4096
"""Where the search for the largest batch ends."""
UNTIMED_STEPS = 2
"""Before the timed ones: the first step allocates, the second is the first with an optimizer's state."""


class Row(TypedDict):
    """One way of training and sampling."""

    name: str
    step_sec: float
    sample_sec: float
    """A sampling of the whole batch, divided by its samples."""
    train_gib: float | None
    sample_gib: float | None
    """Most memory of the GPU; None on a CPU."""
    train_most: int | None
    sample_most: int | None
    """Largest batch; None: not looked for."""


class Found(TypedDict):
    """What `python -m stages.efficiency` prints."""

    px: int
    rows: list[Row]
    says: list[str]


class _Enough(Exception):
    """Ends a training whose steps have been timed: no checkpoint of it is wanted."""


def measure(params: Params, *, batch: int, steps: int, search: bool) -> Found:
    """Both rows.

    Args:
        batch: windows of a step, and of a sampling.
        steps: timed training steps; the median counts.
        search: look for the largest batches too, which only a GPU's memory limits.
    """
    device = pick_device(params.compute)
    networks = make_networks(params, device)
    search = search and device.type == "cuda"
    rows: list[Row] = []
    trials = [Trial(params, networks, whole) for whole in (True, False)]
    for name, trial in zip(("end to end", "DiT alone*"), trials, strict=True):
        say("table", f"{name}: {steps} training steps and a sampling of {batch}, {params.sample.steps} steps of {params.sample.sampler}")
        train_gib, step_sec = _with_memory(device, lambda trial=trial: trial.step_sec(batch, steps))  # type: ignore[misc]
        trial.sample(batch, sampler_steps=1)
        sample_gib, sample_sec = _with_memory(device, lambda trial=trial: trial.sample(batch, params.sample.steps) / batch)  # type: ignore[misc]
        say("table", f"{name}: {step_sec:.3f} s a step, {sample_sec:.3f} s a sample"
                     + (f", {train_gib:.1f} and {sample_gib:.1f} GiB" if train_gib is not None and sample_gib is not None else ""))
        rows.append(Row(name=name, step_sec=step_sec, sample_sec=sample_sec, train_gib=train_gib, sample_gib=sample_gib,
                        train_most=None, sample_most=None))
    if search:
        for row, trial in zip(rows, trials, strict=True):
            row["train_most"], row["sample_most"] = largest(trial.trains, batch), largest(trial.samples, batch)
            say("table", f"{row['name']}: room for {row['train_most']} in training, {row['sample_most']} in sampling")
    return Found(px=params.clip.frame_size_px, rows=rows, says=_says(params, device, batch, search))


class Trial:
    """Training and sampling of any batch size, end to end or of the DiT alone."""

    def __init__(self, params: Params, networks: Networks, whole: bool) -> None:
        self.params, self.networks, self.whole = params, networks, whole

    def step_sec(self, batch: int, steps: int) -> float:
        """Seconds of a training step: the loop's own, from one call for a batch to the next."""
        asked: list[float] = []

        def batch_at(_: int) -> Batch:
            asked.append(time.perf_counter())
            if len(asked) > UNTIMED_STEPS + steps:
                raise _Enough
            return self._batch(batch)

        many = UNTIMED_STEPS + steps + 1
        settings = replace(self.params.dit.train, steps=many, warmup_steps=0, batch_size=batch, grad_accumulation=1, log_every=many,
                           checkpoint_every=many)
        with tempfile.TemporaryDirectory() as folder:
            work = Work(Path(folder), Path(folder), {})
            module: EndToEnd | DiTLoss = EndToEnd(self.networks) if self.whole else self.networks.loss()
            with contextlib.suppress(_Enough):
                train("efficiency", settings, [Phase("dit", module)], batch_at, seed=self.params.seed, compute=self.params.compute,
                      work=work)
        times = asked[UNTIMED_STEPS:]
        return mean_values.median(later - earlier for earlier, later in pairwise(times))

    def sample(self, batch: int, sampler_steps: int) -> float:
        """Seconds of sampling `batch` windows together."""
        networks, device = self.networks, self.networks.device
        sampling = replace(Sampling.of(self.params.sample), steps=sampler_steps)
        wanted = 0 if networks.dit.class_names else NULL_CLASS
        request = Request("svg", list(range(batch)), torch.full((batch,), wanted), text=networks.text(batch))
        started = time.perf_counter()
        audio, video = generate(networks.dit, request, sampling)
        if self.whole:
            for _ in networks.decoder.decode(audio, video, request.seeds):
                pass
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - started

    def trains(self, batch: int) -> bool:
        """Whether a batch has room in training."""
        return _has_room(lambda: self.step_sec(batch, steps=1))

    def samples(self, batch: int) -> bool:
        """Whether a batch has room in sampling, without being taken in parts."""
        coder = self.networks.decoder.autoencoder
        coder.room = None
        return _has_room(lambda: self.sample(batch, sampler_steps=1)) and coder.room is None

    def _batch(self, batch: int) -> Batch:
        clip = self.params.clip
        if not self.whole:
            return self.networks.latents(batch)
        images = torch.zeros(batch, clip.num_frames + 1, clip.frame_size_px, clip.frame_size_px, 3, dtype=torch.uint8)
        return {"images": images, **self.networks.others(batch)}


def largest(fits: Callable[[int], bool], known: int, most: int = MOST) -> int:
    """The largest batch that fits: doubled until one does not, then halved in between.

    Args:
        fits: whether a batch fits; it is taken that smaller ones than one that fits do too.
        known: a batch that fits.
        most: the search ends there.
    """
    low, high = known, None
    while high is None and low < most:
        tried = min(2 * low, most)
        low, high = (tried, None) if fits(tried) else (low, tried)
    while high is not None and high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _has_room(run: Callable[[], object]) -> bool:
    try:
        run()
        return True
    except torch.OutOfMemoryError:
        return False  # the traceback, which holds on to tensors, is gone when the caller goes on
    finally:
        _empty()


def _with_memory(device: torch.device, run: Callable[[], float]) -> tuple[float | None, float]:
    """(most GiB of the GPU's memory in use, what `run` returns)."""
    if device.type != "cuda":
        return None, run()
    _empty()
    torch.cuda.reset_peak_memory_stats(device)
    found = run()
    return torch.cuda.max_memory_allocated(device) / 2**30, found


def _empty() -> None:
    """Give back what earlier trainings hold: an optimizer and its gradients end in circles of references."""
    gc.collect()
    torch.cuda.empty_cache()


def _says(params: Params, device: torch.device, batch: int, search: bool) -> list[str]:
    """What the figures depend on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    sampling = f"{params.sample.steps} steps of {params.sample.sampler}, guidance {params.sample.guidance_scale:g}"
    lines = [f"this run: {name}; batch {batch}, {sampling}, training in {params.dit.train.precision}; "
             "networks of params.yaml's sizes with random weights",
             "a sample's time is the batch's divided by its samples; * the DiT alone, on latents that are there"]
    if not search:
        lines.append("largest batches: " + ("left out (--no-search)" if device.type == "cuda" else
                                            "not measured, needs a GPU; run it on one: mmldm table 2"))
    if device.type != "cuda":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        lines.append(f"memory: {peak:.2g} GiB at most, all networks and both rows together")
    return lines
