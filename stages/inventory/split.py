"""Train or test, decided by a source's content alone, so that an old clip keeps its side when files are added.

What is decided is a GROUP: the sources that are known to show the same thing (groups.py), most often one alone. The rule: a group
is held out when the hash of (seed, its key) falls below inventory.test_share. Two exceptions, for sets so small that the rule
leaves nothing; only these groups can change side, and only while the set stays so small: a class whose groups would all be held
out gives its highest hash to training; and where fewer than `MIN_TEST_WINDOWS` windows are held out in all, the lowest hashes (of
classes with a group to spare) are held out too.

A split that the user's labels give wins over the hash, for the whole group, and no exception moves it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.errors import DataError
from pipeline.seeds import derive_seed

MIN_TEST_WINDOWS = 2
"""The least that can be compared with anything."""


@dataclass(frozen=True, slots=True)
class SplitSource:
    """What the split needs of a source."""

    sha256: str
    class_name: str
    num_windows: int
    group: str
    """Key of its group; the own sha256 of a source that is alone."""
    label: str = ""
    """"train" or "test" where the user's labels say so, else ""."""


def split_sources(sources: list[SplitSource], test_share: float, seed: int) -> dict[str, str]:
    """"train" or "test" by sha256; the same for all of a group. Labels of one group that disagree hold it out.

    Raises:
        DataError: no source can be held out, or the labels leave none to train on.
    """
    if sources and all(source.label == "test" for source in sources):
        raise DataError("inventory.labels holds out every source (split test); leave some to train on")
    labels: dict[str, str] = {}
    for source in sources:
        if source.label == "test" or (source.label and source.group not in labels):
            labels[source.group] = source.label
    place = {source.group: unit_hash(source.group, seed) for source in sources}
    test = {group for group, unit in place.items() if labels.get(group, "test" if unit < test_share else "train") == "test"}
    groups_of: dict[str, set[str]] = {}
    for source in sources:
        groups_of.setdefault(source.class_name, set()).add(source.group)
    for _, groups in sorted(groups_of.items()):
        free = groups - labels.keys()
        if free and groups <= test:
            test.discard(max(free, key=lambda group: (place[group], group)))
    _hold_out_enough(sources, labels, groups_of, place, test)
    return {source.sha256: "test" if source.group in test else "train" for source in sources}


def unit_hash(group: str, seed: int) -> float:
    """A group's fixed place in [0, 1)."""
    return derive_seed(seed, "inventory", "split", group) / 2**63


def _hold_out_enough(
    sources: list[SplitSource], labels: Mapping[str, str], groups_of: Mapping[str, set[str]], place: Mapping[str, float], test: set[str],
) -> None:
    """Add to `test` until there is something to compare with."""
    windows = dict.fromkeys(place, 0)
    classes: dict[str, set[str]] = {group: set() for group in place}
    for source in sources:
        windows[source.group] += source.num_windows
        classes[source.group].add(source.class_name)
    held_out = sum(windows[group] for group in test)
    for group in sorted(place, key=lambda group: (place[group], group)):
        if held_out >= MIN_TEST_WINDOWS:
            return
        if group not in test and group not in labels and all(len(groups_of[name] - test) >= 2 for name in classes[group]):
            test.add(group)
            held_out += windows[group]
    if held_out < MIN_TEST_WINDOWS and labels.keys() >= place.keys():
        raise DataError(f"inventory.labels holds out {held_out} windows, {MIN_TEST_WINDOWS} needed to compare with; write split test for "
                        "some sources, or leave the column empty for some, which inventory.test_share then divides")
    if held_out < MIN_TEST_WINDOWS:
        raise DataError(f"{held_out} windows can be held out, {MIN_TEST_WINDOWS} needed, as no class has a second source to spare "
                        f"({len(sources)} sources in {len(place)} groups, {len(groups_of)} classes); add videos to a class of data.raw")
