"""dvc.yaml as a graph: stages, what each waits for, and which of them must run again."""

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import RunError
from pipeline.params import read_yaml

SLOTS = ("gpu", "cpu")
"""How many of each run at once is said in params.yaml, `flow`."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One entry of dvc.yaml."""

    name: str
    cmd: str
    params: tuple[str, ...]
    """Sections of params.yaml, tracked by value."""
    deps: tuple[str, ...]
    """Files and folders that it reads, relative to the project; `${...}` filled in."""
    outs: tuple[str, ...]
    slot: str
    """Named limit under which the flow runs it, one of `SLOTS`."""


@dataclass(frozen=True, slots=True)
class Graph:
    """The stages by name, in an order in which they can run, and for each the stages whose outputs it reads."""

    stages: Mapping[str, Stage]
    upstream: Mapping[str, frozenset[str]]

    def downstream(self, names: Collection[str]) -> list[str]:
        """`names` and every stage after one of them, in running order."""
        reached = set(names)
        for name in self.stages:  # upstream stages come first, so one pass is enough
            if self.upstream[name] & reached:
                reached.add(name)
        return [name for name in self.stages if name in reached]

    def upstream_of(self, names: Collection[str]) -> list[str]:
        """`names` and every stage before one of them, in running order."""
        reached = set(names)
        for name in reversed(list(self.stages)):
            if name in reached:
                reached |= self.upstream[name]
        return [name for name in self.stages if name in reached]


def load_graph(root: Path) -> Graph:
    """Read `root/dvc.yaml`, with `root/params.yaml` for its `${section.key}`.

    Raises:
        RunError: dvc.yaml is of no known shape, names a parameter that is not there, or runs in a circle.
    """
    values = read_yaml(root / "params.yaml")
    content = read_yaml(root / "dvc.yaml")
    entries = content.get("stages") if isinstance(content, dict) else None
    if not isinstance(entries, dict):
        raise RunError("dvc.yaml has no section stages; restore it: git checkout dvc.yaml")
    stages = {name: _stage(name, entry, values) for name, entry in entries.items()}
    upstream = {name: frozenset(other.name for other in stages.values() if other.name != name and _feeds(other, stage))
                for name, stage in stages.items()}
    order: list[str] = []
    while len(order) < len(stages):
        ready = next((name for name in stages if name not in order and upstream[name] <= set(order)), None)
        if ready is None:
            raise RunError(f"dvc.yaml: these stages wait for each other in a circle: {', '.join(sorted(set(stages) - set(order)))}")
        order.append(ready)
    return Graph({name: stages[name] for name in order}, upstream)


def _stage(name: str, entry: Mapping[str, Any], values: object) -> Stage:
    def filled(text: str) -> str:
        return re.sub(r"\$\{([\w.]+)\}", lambda match: str(_look_up(match[1], values, name)), text)

    def paths(key: str) -> tuple[str, ...]:
        items = entry.get(key, [])
        return tuple(filled(item if isinstance(item, str) else next(iter(item))) for item in items)

    slot = (entry.get("meta") or {}).get("slot", "cpu")
    if slot not in SLOTS:
        raise RunError(f'dvc.yaml: {name} has meta: slot "{slot}", expected one of {", ".join(SLOTS)}; mend it, or: git checkout dvc.yaml')
    return Stage(name=name, cmd=filled(str(entry["cmd"])), params=paths("params"), deps=paths("deps"), outs=paths("outs"), slot=slot)


def _look_up(key: str, values: object, stage: str) -> object:
    for part in key.split("."):
        if not isinstance(values, dict) or part not in values:
            raise RunError(f"dvc.yaml: {stage} uses ${{{key}}}, which params.yaml does not have; run: mmldm check")
        values = values[part]
    return values


def _feeds(producer: Stage, consumer: Stage) -> bool:
    """Whether one path that `producer` writes is, holds, or lies in one that `consumer` reads."""
    return any(_overlap(out, dep) for out in producer.outs for dep in consumer.deps)


def _overlap(a: str, b: str) -> bool:
    parts_a, parts_b = Path(os.path.abspath(a)).parts, Path(os.path.abspath(b)).parts
    shared = min(len(parts_a), len(parts_b))
    return parts_a[:shared] == parts_b[:shared]

