"""Sources that are used, each content once."""

from dataclasses import dataclass, replace

from pipeline.params import ClipParams
from stages.inventory.listing import Candidate
from stages.inventory.measured import Measured, Outcome
from stages.inventory.reasons import RejectedFile
from stages.inventory.stretches import clips_of


@dataclass(frozen=True, slots=True)
class Source:
    """One content that is used, under the first of its paths."""

    candidate: Candidate
    sha256: str
    bytes: int
    measured: Measured
    clips: list[tuple[float, float]]
    """(start, duration) in seconds."""

    @property
    def path(self) -> str:
        """Relative to data.raw."""
        return self.candidate.path

    @property
    def class_name(self) -> str:
        """By label or folder."""
        return self.candidate.class_name


def accept(
    files: list[tuple[Candidate, Outcome]], clip: ClipParams, allow_silent: bool,
) -> tuple[list[Source], list[dict[str, object]]]:
    """(sources, rows of rejected.parquet) of all files, in their order."""
    first: dict[str, Source] = {}
    rejected: list[dict[str, object]] = []
    for candidate, outcome in files:
        kept = first.get(outcome.sha256)
        if kept is not None:
            rejected.append({"source_path": candidate.path, "reason": "duplicate", "detail": same_as(candidate, kept.candidate)})
            if candidate.split == "test" != kept.candidate.split:
                # What the labels hold out is held out, whichever of its copies they name.
                first[outcome.sha256] = replace(kept, candidate=replace(kept.candidate, split="test"))
            continue
        try:
            if outcome.measured is None:
                raise RejectedFile(outcome.reason, outcome.detail)
            clips = clips_of(outcome.measured, clip, allow_silent)
        except RejectedFile as rejection:
            rejected.append({"source_path": candidate.path, "reason": rejection.reason, "detail": rejection.detail})
        else:
            first[outcome.sha256] = Source(candidate, outcome.sha256, outcome.bytes, outcome.measured, clips)
    return list(first.values()), rejected


def same_as(candidate: Candidate, kept: Candidate) -> str:
    """What is told of a duplicate, with all in which it is not the same."""
    said = (("class", kept.class_name, candidate.class_name), ("split", kept.split, candidate.split),
            ("caption", kept.caption, candidate.caption))
    differs = [f"{name} is {there or 'not given'} there, {here or 'not given'} here" for name, there, here in said if there != here]
    return "; ".join([f"same bytes as {kept.path}", *differs])
