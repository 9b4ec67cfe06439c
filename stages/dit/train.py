"""The stage: train the joint DiT on cached latents, measure it on held-out ones, write it."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from pipeline.contracts.latents import read_statistics
from pipeline.contracts.outputs import stage_output, write_text
from pipeline.params import ClipParams, ComputeParams, DiTParams
from pipeline.processes import first_goes_on
from pipeline.progress import say
from pipeline.seeds import derive_seed
from pipeline.shared_batch import own
from pipeline.training import Phase, begin_with, train
from stages.dit.checkpoint import make_network, save
from stages.dit.data import Posteriors, batch_indices, evenly_spaced, open_posteriors
from stages.dit.model import multiply_adds
from stages.dit.objective import DiTLoss
from stages.dit.pairs import ContinuedWindows, following_pairs, pairs_per_batch, require_pairs
from stages.dit.validation import MAX_HELD_OUT, held_out_losses


def run(*, seed: int, compute: ComputeParams, clip: ClipParams, dit: DiTParams, latents: Path, out: Path,
        warm_start: str | None = None) -> Mapping[str, object]:
    """Train the DiT on cached latents, from random weights or those in the folder `warm_start`, and write it to `out`."""
    statistics = read_statistics(latents)
    sections = {"seed": seed, "clip": clip, "dit": dit, "warm_start": warm_start}
    with stage_output(out, params=sections, inputs={"latents": latents}, code=Path(__file__).parent) as work:
        torch.manual_seed(derive_seed(seed, "dit", "weights"))
        network = make_network(dit, statistics)
        begin_with(network, warm_start, "dit")
        training, held_out = (open_posteriors(latents, split, captioned=dit.context == "text") for split in ("train", "test"))
        say("dit", f"{len(training.windows)} windows, {len(held_out.windows)} held out | {network.num_tokens} tokens | "
                   f"{network.multiply_adds / 1e9:.3g} G multiply-adds a pass | {latents} -> {out}")
        validation_batch = held_out.batch(evenly_spaced(len(held_out.windows), MAX_HELD_OUT))
        validation_pairs = continuation_batch(held_out, clip.num_frames) if dit.continuation_share else None
        trained = train(
            "dit", dit.train, [Phase("dit", DiTLoss(network, statistics))], batches(training, dit, clip.num_frames, seed), seed=seed,
            compute=compute, work=work, validate=lambda module: held_out_losses(module, validation_batch, validation_pairs, seed))
        if not first_goes_on():
            return {}
        assert isinstance(trained, DiTLoss)
        losses = held_out_losses(trained, validation_batch, validation_pairs, seed)
        save(work.folder, trained.network, statistics)
        write_text(work.folder / "metrics.json", json.dumps({"held_out": {k: round(v, 5) for k, v in losses.items()}}, indent=1) + "\n")
        work.counts.update(training_windows=len(training.windows), held_out_windows=len(held_out.windows), steps=dit.train.steps,
                           parameters=sum(p.numel() for p in network.parameters()),
                           multiply_adds=multiply_adds(dit, network.num_tokens, attention=False))
        return {**work.counts, "held_out_loss": f"{losses['loss']:.4f}", "out": out}


def batches(training: Posteriors, dit: DiTParams, num_frames: int, seed: int) -> Callable[[int], dict[str, Tensor]]:
    """From a step to this process's part of its batch.

    Raises:
        DataError: continuation is asked for and no window follows another.
    """
    size = dit.train.batch_size
    if not dit.continuation_share:
        return lambda step: training.batch(own(batch_indices(len(training.windows), size, step, seed)))
    continued = ContinuedWindows(training, following_pairs(training.keys, num_frames))
    require_pairs(continued.pairs, num_frames)
    pairs_per_batch(size, dit.continuation_share)
    say("dit", f"{len(continued.pairs)} windows follow another one")
    return lambda step: continued.batch_at(step, size, dit.continuation_share, seed)


def continuation_batch(held_out: Posteriors, num_frames: int) -> dict[str, Tensor] | None:
    """Held-out windows with the windows before them; None: no window follows another."""
    pairs = following_pairs(held_out.keys, num_frames)
    chosen = [pairs[place] for place in evenly_spaced(len(pairs), MAX_HELD_OUT)] if pairs else []
    return ContinuedWindows(held_out, pairs).batch(chosen, []) if chosen else None
