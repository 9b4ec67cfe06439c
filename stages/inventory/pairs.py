"""The sources that hold the same recording: found by their fingerprints, then judged in the files; a pair is judged once."""

from pathlib import Path

from pipeline.contracts.recipe import recipe
from pipeline.progress import Progress, say
from pipeline.workers import Workers
from stages.inventory.accepted import Source
from stages.inventory.known import Known
from stages.inventory.near_duplicates import Fingerprint, likely_pairs, stretch
from stages.inventory.same_recording import Pair, Side, Verdict, judge


def judged_by() -> str:
    """Recipe of the verdicts: of the judge, and of what says where he looks."""
    return recipe("stages.inventory.same_recording", {"where": recipe("stages.inventory.near_duplicates", {})})


def judged_pairs(raw: Path, sources: list[Source], known: Known[Verdict], workers: Workers) -> list[Verdict]:
    """What came of every pair of sources that are alike, sorted by their hashes.

    Args:
        raw: data.raw.
        sources: distinct contents.
        known: verdicts of other runs; new ones are added.
        workers: who reads the files.
    """
    by_sha = {source.sha256: source for source in sources}
    likely = likely_pairs([Fingerprint.of(source.sha256, source.measured) for source in sources])
    new = []
    for pair in likely:
        if known.get((pair.first, pair.second)) is None:
            first, second = by_sha[pair.first], by_sha[pair.second]
            begin_sec, length_sec = stretch(first.measured, second.measured, pair.lag_sec)
            new.append(Pair(raw, side(first), side(second), begin_sec, length_sec, pair.lag_sec))
    if new:
        say("inventory", f"{len(new)} pairs of files are alike, each is read again where it is")
    progress = Progress("inventory", len(new), "pairs")
    for verdict in workers.map(judge, new, preload=["stages.inventory.same_recording"], on_crash=_not_judged):
        if verdict is not None:
            known.add(verdict)
        progress.advance()
    found = [known.get((pair.first, pair.second)) for pair in likely]
    return [verdict for verdict in found if verdict is not None]


def side(source: Source) -> Side:
    """What the judge needs to know of a file."""
    measured = source.measured
    return Side(source.path, source.sha256, measured.video_start_sec, measured.audio_end_sec)


def _not_judged(pair: Pair, exit_code: int | None) -> None:
    say("inventory", f"{pair.first.path} and {pair.second.path} could not be compared, their reader died; they count as two sources")
