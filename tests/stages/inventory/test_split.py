"""The split is stable, and leaves something on both sides: pytest tests/stages/inventory/test_split.py"""

import hashlib
from dataclasses import replace

import pytest

from pipeline.errors import DataError
from stages.inventory.split import SplitSource, split_sources


def sources(count: int, class_name: str = "dog", num_windows: int = 5) -> list[SplitSource]:
    shas = [hashlib.sha256(f"{class_name}{i}".encode()).hexdigest() for i in range(count)]
    return [SplitSource(sha, class_name, num_windows, sha) for sha in shas]


def test_share_is_met_and_nothing_moves_when_sources_are_added() -> None:
    few, many = sources(1000), sources(3000)
    before, after = split_sources(few, 0.2, seed=7), split_sources(many, 0.2, seed=7)
    assert sum(side == "test" for side in after.values()) / 3000 == pytest.approx(0.2, abs=0.03)
    assert all(after[sha] == side for sha, side in before.items())


def test_another_seed_is_another_split() -> None:
    assert split_sources(sources(100), 0.2, seed=7) != split_sources(sources(100), 0.2, seed=8)


@pytest.mark.parametrize("seed", range(20))
def test_every_class_keeps_a_training_source_and_something_is_held_out(seed: int) -> None:
    mixed = [*sources(1, "single"), *sources(2, "pair"), *sources(3, "three")]
    split = split_sources(mixed, 0.5, seed)
    for name in ("single", "pair", "three"):
        assert "train" in {split[source.sha256] for source in mixed if source.class_name == name}
    assert sum(source.num_windows for source in mixed if split[source.sha256] == "test") >= 2


def test_nothing_to_hold_out_is_told() -> None:
    with pytest.raises(DataError, match=r"0 windows can be held out, 2 needed.*add videos"):
        split_sources([*sources(1, "dog"), *sources(1, "cat")], 0.2, seed=7)


def test_labels_that_hold_out_nothing_are_named_as_the_cause() -> None:
    labelled = [replace(source, label="train") for source in sources(5)]
    with pytest.raises(DataError, match=r"^inventory\.labels holds out 0 windows, 2 needed.*; write split test for some sources"):
        split_sources(labelled, 0.2, seed=7)
