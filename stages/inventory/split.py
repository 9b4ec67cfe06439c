"""Train or test, decided by a source's content alone, so that an old clip keeps its side when files are added.

The rule: a source is held out when the hash of (seed, its sha256) falls below inventory.test_share. Two exceptions, for
sets so small that the rule leaves nothing; only these sources can change side, and only while the set stays so small:
a class whose sources would all be held out gives its highest hash to training; and where fewer than `MIN_TEST_WINDOWS`
windows are held out in all, the lowest hashes (of classes with a source to spare) are held out too.
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


def split_sources(sources: list[SplitSource], test_share: float, seed: int) -> dict[str, str]:
    """"train" or "test" by sha256.

    Raises:
        DataError: no source can be held out.
    """
    place = {source.sha256: unit_hash(source.sha256, seed) for source in sources}
    test = {sha for sha, unit in place.items() if unit < test_share}
    members: dict[str, list[str]] = {}
    for source in sources:
        members.setdefault(source.class_name, []).append(source.sha256)
    for shas in members.values():
        if test.issuperset(shas):
            test.discard(max(shas, key=lambda sha: (place[sha], sha)))
    _hold_out_enough(sources, members, place, test)
    return {sha: "test" if sha in test else "train" for sha in place}


def unit_hash(sha256: str, seed: int) -> float:
    """A source's fixed place in [0, 1)."""
    return derive_seed(seed, "inventory", "split", sha256) / 2**63


def _hold_out_enough(sources: list[SplitSource], members: Mapping[str, list[str]], place: Mapping[str, float], test: set[str]) -> None:
    held_out = sum(source.num_windows for source in sources if source.sha256 in test)
    for source in sorted(sources, key=lambda source: (place[source.sha256], source.sha256)):
        if held_out >= MIN_TEST_WINDOWS:
            return
        if source.sha256 not in test and len(set(members[source.class_name]) - test) >= 2:
            test.add(source.sha256)
            held_out += source.num_windows
    if held_out < MIN_TEST_WINDOWS:
        raise DataError(f"{held_out} windows can be held out, {MIN_TEST_WINDOWS} needed, as no class has a second source to spare "
                        f"({len(sources)} sources in {len(members)} classes); add videos to a class of data.raw")
