"""Every file hashed, every new content measured once, in worker processes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.progress import Progress
from pipeline.workers import Workers
from stages.inventory.known import Known
from stages.inventory.listing import Candidate
from stages.inventory.measure import Hashed, Named, Passing, crashed, hash_one, measure
from stages.inventory.measured import Outcome


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What `survey` found."""

    files: list[tuple[Candidate, Outcome]]
    """In the order of the candidates."""
    passing: list[Passing]
    """Files that could not be used at this moment."""
    num_decoded: int
    """Contents that were not known before."""


def survey(
    source: Path, candidates: list[Candidate], known: Known[Outcome], workers: Workers,
) -> Surveyed:
    """What is in each file.

    Args:
        source: data.raw.
        candidates: the files, in the order of the result.
        known: contents that need not be measured; what is measured is added.
        workers: who hashes and measures.
    """
    progress, taken_over = Progress("inventory", len(candidates), "files"), 0
    files: list[Hashed] = []
    passing: list[Passing] = []
    tried: set[str] = set()

    def new_contents(hashed: Iterator[Hashed | Passing]) -> Iterator[Hashed]:
        """The first file of every content that is not known; the hashing runs a few files ahead of the measuring."""
        nonlocal taken_over
        for file in hashed:
            if isinstance(file, Passing):
                passing.append(file)
                progress.advance()
                continue
            files.append(file)
            if file.sha256 in tried:
                progress.advance()
            elif known.get(file.sha256):
                taken_over += 1
                progress.advance(note=f"taken over {taken_over}")
            else:
                tried.add(file.sha256)
                yield file

    def measure_all(todo: Iterator[Hashed]) -> None:
        for outcome in workers.map(measure, todo, preload=["stages.inventory.measure"], on_crash=crashed):
            if isinstance(outcome, Outcome):
                known.add(outcome)
            else:
                passing.append(outcome)
            progress.advance(note=f"taken over {taken_over}" if taken_over else "")

    named = (Named(source, candidate.path) for candidate in candidates)
    measure_all(new_contents(workers.map(hash_one, named, preload=["stages.inventory.measure"])))
    # Of copies only the first was tried; where it could not be used at that moment, the next may.
    while again := _untried_copies(files, passing, known):
        measure_all(iter(again))
    by_path = {file.path: file for file in files}
    unusable = {file.path for file in passing}
    found = []
    for candidate in candidates:
        if candidate.path not in unusable:
            outcome = known.get(by_path[candidate.path].sha256)
            assert outcome is not None
            found.append((candidate, outcome))
    return Surveyed(found, passing, len(tried))


def _untried_copies(files: list[Hashed], passing: list[Passing], known: Known[Outcome]) -> list[Hashed]:
    unusable = {file.path for file in passing}
    first: dict[str, Hashed] = {}
    for file in files:
        if file.path not in unusable and known.get(file.sha256) is None:
            first.setdefault(file.sha256, file)
    return list(first.values())
