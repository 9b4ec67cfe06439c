"""How far a cycle has come: a small file, written whole after every step.

A step that was killed is run again from its beginning, so each of them leaves the same however often it was begun. What the
user changes meanwhile (a new commit, another champion) gives up the steps that depend on it, and no file that was taken.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.contracts.outputs import write_text

STEPS = ("take", "validate", "version", "collect", "reproduce", "contest", "decide")
"""In this order; what each leaves is in cycle.py."""
OF_THE_DATA = ("take", "validate")
"""Steps whose results outlive a new commit of the user."""

Record = Mapping[str, Any]
Step = Callable[["Cycle"], Record | None]
"""From the cycle to what the next steps need of it, as JSON; None: there is nothing more to do in this cycle."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """One pass from new data to a decision."""

    number: int
    """Also that of the model."""
    base: str
    """The user's commit that it works from."""
    champion: str
    """The model to beat, "" for the first one."""
    asked: bool = False
    """A person wants it, with or without new data."""
    done: Mapping[str, Record] = field(default_factory=dict)
    """By finished step, what it left."""

    @property
    def next_step(self) -> str | None:
        """The first step that is not finished; None: all are."""
        return next((step for step in STEPS if step not in self.done), None)

    def with_done(self, step: str, record: Record) -> "Cycle":
        """With one more finished step."""
        return replace(self, done={**self.done, step: record})

    def on(self, base: str, champion: str) -> "Cycle":
        """The same cycle after the user has committed, or has chosen another champion: what depends on it is to be done again."""
        if (base, champion) == (self.base, self.champion):
            return self
        return replace(self, base=base, champion=champion, done={step: record for step, record in self.done.items() if step in OF_THE_DATA})


def advance(cycle: Cycle, steps: Mapping[str, Step], save: Callable[[Cycle], None]) -> Cycle | None:
    """Run what is left of a cycle.

    Args:
        steps: by name, all of STEPS.
        save: keeps the cycle; called after each step.

    Returns:
        The finished cycle; None: a step found that nothing is to be done.
    """
    while (step := cycle.next_step) is not None:
        record = steps[step](cycle)
        if record is None:
            return None
        cycle = cycle.with_done(step, record)
        save(cycle)
    return cycle


def load_cycle(path: Path) -> Cycle | None:
    """The cycle that a stopped run left; None: there is none (or its file is damaged, and its steps are begun anew)."""
    try:
        return Cycle(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def save_cycle(path: Path, cycle: Cycle) -> None:
    """Write a cycle, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(asdict(cycle), indent=1, ensure_ascii=False) + "\n")
