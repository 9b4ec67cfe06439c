"""What a run is to do: which stages were asked for, which of them are stale, and why."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.dvc_tool import dvc_status
from pipeline.errors import RunError
from pipeline.graph import Graph
from pipeline.lock_file import recorded_stages


@dataclass(frozen=True, slots=True)
class Selection:
    """The part of the graph that was asked for; nothing set: all of it."""

    to: str | None = None
    """This stage and all that it needs."""
    start: str | None = None
    """This stage and all after it; what is before it stays as it is."""
    force: tuple[str, ...] = ()
    """Stages to run although they are up to date."""

    def command(self) -> str:
        """The command line that asks for it."""
        words = ["mmldm reproduce"]
        words += [f"--to {self.to}"] if self.to else []
        words += [f"--from {self.start}"] if self.start else []
        words += [f"--force {name}" for name in self.force]
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to do; every tuple in running order."""

    run: tuple[str, ...]
    """Stages to start: changed, forced, or after one of those. DVC still skips one whose input comes out as it was."""
    fresh: tuple[str, ...]
    """Asked for and up to date."""
    force: frozenset[str]
    left: tuple[str, ...]
    """Not up to date, but before the part that was asked for."""
    reasons: Mapping[str, str]
    """For each of `run`, why."""


def make_plan(root: Path, graph: Graph, selection: Selection) -> Plan:
    """Compare the part that was asked for with what is there.

    Raises:
        RunError: a name that the graph does not have, an empty part, or one that begins where nothing is to begin with.
    """
    selected = select(graph, selection)
    changes = dvc_status(root)
    changed = {*(name for name in selected if name in changes), *selection.force}
    run = [name for name in graph.downstream(changed) if name in selected]
    before = [name for name in graph.upstream_of(selected) if name not in selected]
    _require_inputs(root, graph, run, before)
    return Plan(
        run=tuple(run), fresh=tuple(name for name in selected if name not in run), force=frozenset(selection.force),
        left=tuple(name for name in before if name in changes),
        reasons={name: _reason(name, changes, selection, run, graph) for name in run})


def select(graph: Graph, selection: Selection) -> list[str]:
    """The stages of the part, in running order.

    Raises:
        RunError: see `make_plan`.
    """
    for option, name in (("--to", selection.to), ("--from", selection.start), *(("--force", name) for name in selection.force)):
        if name is not None and name not in graph.stages:
            near = difflib.get_close_matches(name, graph.stages, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"there are: {', '.join(graph.stages)}"
            raise RunError(f'{option}: there is no stage "{name}"; {hint}')
    names = set(graph.stages)
    if selection.to is not None:
        names &= set(graph.upstream_of([selection.to]))
    if selection.start is not None:
        names &= set(graph.downstream([selection.start]))
    if not names:
        raise RunError(f"nothing lies between --from {selection.start} and --to {selection.to}: {selection.to} comes earlier; swap them")
    for name in selection.force:
        if name not in names:
            raise RunError(f"--force {name} is not in the part that was asked for ({', '.join(n for n in graph.stages if n in names)}); "
                           "widen --from or --to, or leave it out")
    return [name for name in graph.stages if name in names]


def _require_inputs(root: Path, graph: Graph, run: Sequence[str], before: Sequence[str]) -> None:
    recorded = recorded_stages(root)
    for name in run:
        for earlier in before:
            made = earlier in recorded and all((root / out).exists() for out in graph.stages[earlier].outs)  # half an output exists too
            if earlier in graph.upstream[name] and not made:
                raise RunError(f"{name} needs {graph.stages[earlier].outs[0]}, which {earlier} has not made yet; "
                               f"begin there: mmldm reproduce --from {earlier}")


def _reason(name: str, changes: Mapping[str, object], selection: Selection, run: Sequence[str], graph: Graph) -> str:
    """`dit.depth modified`, `stages/dit modified` or `after encode`, as DVC's status tells it."""
    found = [f"after {earlier}" for earlier in run if earlier in graph.upstream[name]] if name not in changes else []
    return ", ".join([*(["forced"] if name in selection.force else []), *found, *_leaves(changes.get(name))])


def _leaves(change: object, key: str = "") -> list[str]:
    """`[{"changed deps": {"params.yaml": {"dit.depth": "modified"}}}]` -> `["dit.depth modified"]`."""
    if isinstance(change, Mapping):
        return [leaf for inner, value in change.items() for leaf in _leaves(value, str(inner))]
    if isinstance(change, list):
        return [leaf for value in change for leaf in _leaves(value, key)]
    return [f"{key} {change}".strip()] if change else []
