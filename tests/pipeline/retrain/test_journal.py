"""A cycle that is killed at any moment comes to the same end: pytest tests/pipeline/retrain/test_journal.py"""

import random
from pathlib import Path

import pytest

from pipeline.retrain.journal import STEPS, Cycle, Record, advance, load_cycle, save_cycle


class Killed(BaseException):
    """Stands for kill -9."""


class World:
    """Steps that each leave one effect, and may be killed before, after, or between effect and record."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self.dice = path, random.Random(seed)
        self.effects: list[str] = []

    def perhaps_die(self) -> None:
        if self.dice.random() < 0.3:
            raise Killed

    def step(self, name: str, cycle: Cycle) -> Record:
        assert list(cycle.done) == list(STEPS[:STEPS.index(name)]), "a step runs when all before it are recorded"
        self.perhaps_die()
        if name not in self.effects:
            self.effects.append(name)
        self.perhaps_die()
        return {"of": name}

    def save(self, cycle: Cycle) -> None:
        self.perhaps_die()
        save_cycle(self.path, cycle)
        self.perhaps_die()


@pytest.mark.parametrize("seed", range(40))
def test_kills_change_nothing(seed: int, tmp_path: Path) -> None:
    world = World(tmp_path / "journal.json", seed)
    steps = {name: lambda cycle, name=name: world.step(name, cycle) for name in STEPS}
    finished = None
    while finished is None:
        try:
            finished = advance(load_cycle(world.path) or Cycle(3, "base", "model-0001"), steps, world.save)
        except Killed:
            continue
    assert world.effects == list(STEPS)
    assert finished.done == {name: {"of": name} for name in STEPS}


def test_a_new_commit_or_champion_gives_up_what_depends_on_it_and_no_file() -> None:
    cycle = Cycle(3, "base", "model-0001", done={step: {} for step in STEPS[:6]})
    assert cycle.on("base", "model-0001") is cycle
    assert list(cycle.on("newer", "model-0001").done) == ["take", "validate"]
    assert cycle.on("base", "model-0002").next_step == "version"


def test_a_step_may_find_that_nothing_is_to_be_done(tmp_path: Path) -> None:
    steps = {name: (lambda cycle: {}) if name != "reproduce" else (lambda cycle: None) for name in STEPS}
    assert advance(Cycle(1, "base", ""), steps, lambda cycle: None) is None


def test_a_damaged_journal_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "journal.json").write_text('{"number": 3, "ba')
    assert load_cycle(tmp_path / "journal.json") is None
