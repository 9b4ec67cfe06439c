"""The champion, measured as the challenger is: its networks, the challenger's clips, seeds, protocol and local classifiers.

In a copy of its own: the trained stages' outputs are the champion's, all that does not follow from them is the challenger's, and
what follows from them (moments, latents, samples, figures) is made anew by the stages themselves.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.contracts.outputs import write_text
from pipeline.errors import RunError
from pipeline.graph import Graph, load_graph
from pipeline.retrain.gate import flat
from pipeline.retrain.owned_process import CommandError
from pipeline.retrain.workspace import LOCK, Workspace

TRAINED = ("klvae", "autoencoder", "dit")
"""The stages whose outputs are the model."""
MEASURING = "evaluate"
METRICS = Path("data/evaluate/metrics.json")


@dataclass(frozen=True, slots=True)
class Roles:
    """The part that each stage has in a contest; `report` and its like have none."""

    trained: tuple[str, ...]
    again: tuple[str, ...]
    """They follow from what is trained, and the figures follow from them; in running order."""
    shared: tuple[str, ...]


def roles(graph: Graph) -> Roles:
    """Who is who.

    Raises:
        RunError: the graph has no stage `evaluate`, or none that is trained.
    """
    trained = tuple(name for name in graph.stages if name in TRAINED)
    if MEASURING not in graph.stages or not trained:
        raise RunError(f"dvc.yaml has no stage {MEASURING} or none of {', '.join(TRAINED)}, so no two models can be compared; "
                       "restore it: git checkout dvc.yaml")
    after = set(graph.downstream(trained))
    measured_by = [name for name in graph.stages if MEASURING in graph.downstream([name])]
    again = tuple(name for name in measured_by if name in after and name not in trained)
    return Roles(trained, again, tuple(name for name in measured_by if name not in after and name not in trained))


def measure_champion(arena: Workspace, *, base: str, files: Mapping[str, str], challenger_lock: str, champion_lock: str) -> dict[str, Any]:
    """The champion's figures.

    Args:
        arena: the copy to do it in.
        base: commit whose code measures.
        files: text by path, as in the challenger's copy.
        challenger_lock, champion_lock: the dvc.lock of each.

    Returns:
        "metrics": figures by name; "failed": "", or why the champion cannot be measured so (its networks do not fit the present params).

    Raises:
        RunError: its outputs are not to be had, or the disk is full.
    """
    prepare(arena, base, files, challenger_lock, champion_lock)
    try:
        arena.dvc("repro", "--single-item", *roles(load_graph(arena.folder)).again)
    except CommandError as error:
        if "no space left" in error.said.lower():
            raise
        return {"metrics": {}, "failed": error.said}
    return {"metrics": read_metrics(arena), "failed": ""}


def fetch_champion(arena: Workspace, base: str, files: Mapping[str, str], champion_lock: str) -> None:
    """Fill the copy with the champion's networks alone.

    Raises:
        RunError: they are not to be had.
    """
    arena.hold(base, files)
    trained = roles(load_graph(arena.folder)).trained
    stages = champion_stages(champion_lock, trained)
    write_text(arena.folder / LOCK, yaml.safe_dump({"schema": "2.0", "stages": stages_of(arena) | stages}, sort_keys=False))
    arena.check_out_data(*trained)


def prepare(arena: Workspace, base: str, files: Mapping[str, str], challenger_lock: str, champion_lock: str) -> None:
    """Fill the copy with the champion's networks and with all that they are measured on.

    Raises:
        RunError: see `measure_champion`.
    """
    arena.hold(base, files)
    cast = roles(load_graph(arena.folder))
    ours, own = yaml.safe_load(challenger_lock)["stages"], stages_of(arena)
    stages = champion_stages(champion_lock, cast.trained) | {name: ours[name] for name in cast.shared}
    # Of what is made anew, the record of an earlier contest stays: DVC sees by it what is still right.
    stages |= {name: own[name] for name in cast.again if name in own}
    write_text(arena.folder / LOCK, yaml.safe_dump({"schema": "2.0", "stages": stages}, sort_keys=False))
    arena.check_out_data(*cast.shared, *cast.trained)


def champion_stages(lock: str, trained: Sequence[str]) -> dict[str, Any]:
    """The entries of the trained stages in the champion's dvc.lock.

    Raises:
        RunError: one is absent.
    """
    stages = yaml.safe_load(lock)["stages"]
    absent = [name for name in trained if name not in stages]
    if absent:
        raise RunError(f"the champion's commit has no output of {', '.join(absent)}; make another model champion: mmldm registry promote")
    return {name: stages[name] for name in trained}


def stages_of(copy: Workspace) -> dict[str, Any]:
    """The entries of a copy's own dvc.lock."""
    return yaml.safe_load(copy.text(LOCK))["stages"] if (copy.folder / LOCK).exists() else {}


def read_metrics(copy: Workspace) -> dict[str, float]:
    """The figures that `evaluate` left in a copy.

    Raises:
        RunError: there are none.
    """
    try:
        return flat(json.loads(copy.text(METRICS.as_posix())))
    except (FileNotFoundError, ValueError):
        raise RunError(f"{copy.folder.name} has no {METRICS} that can be read; run again with: mmldm retrain") from None
