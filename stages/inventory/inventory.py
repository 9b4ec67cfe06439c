"""The run of the inventory: list, measure in worker processes, choose readers, cut into clips, split, write."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.contracts.clips import write_clips
from pipeline.contracts.outputs import stage_output
from pipeline.contracts.windows import window_starts
from pipeline.errors import DataError
from pipeline.params import ClipParams, InventoryParams
from pipeline.progress import Progress, say
from pipeline.workers import Workers
from stages.inventory.labels import read_labels
from stages.inventory.listing import Candidate, list_files, require_folder
from stages.inventory.probe import SILENCE_PEAK, Probe, probe
from stages.inventory.quality import write_quality
from stages.inventory.readers import choose_reader
from stages.inventory.reasons import RejectedFile, counted
from stages.inventory.split import SplitSource, split_sources

ROUNDING_SEC = 0.002
"""A duration that is short of a frame by less than this is whole: time bases of milliseconds round."""


@dataclass(frozen=True, slots=True)
class Task:
    """One file to measure, in a worker."""

    source: Path
    candidate: Candidate
    clip: ClipParams
    allow_silent: bool


@dataclass(frozen=True, slots=True)
class Source:
    """One accepted file."""

    candidate: Candidate
    measured: Probe
    reader: str
    reader_because: str
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

    @property
    def silent(self) -> bool:
        """Whether every sample is zero."""
        return self.measured.audio_peak < SILENCE_PEAK


def run(
    *, seed: int, clip: ClipParams, inventory: InventoryParams, workers: Workers, source: Path, out: Path,
) -> dict[str, object]:
    """Measure every file of `source` and write the tables to `out`.

    Args:
        workers: who measures; changes no byte of the output.
        source: the folder `<class>/<file>` (`data.raw`).
        out: the stage's output folder.

    Raises:
        DataError: no folder, no class folders, a table of labels that cannot be used, no clip left, too many rejected, nothing that
            could be held out.
    """
    require_folder(source)
    listing = list_files(source, read_labels(source, inventory.labels) if inventory.labels else None)
    say("inventory", f"{len(listing.candidates)} files of {source} -> {out}, each one decoded whole")
    known_by = {"seed": seed, "clip": clip, "inventory": inventory}
    with stage_output(out, params=known_by, inputs={"raw": source}, code=Path(__file__).parent) as work:
        sources, rejected = _without_duplicates(
            _measure_all([Task(source, candidate, clip, inventory.allow_silent) for candidate in listing.candidates], workers))
        rejected = sorted([*listing.rejected, *rejected], key=lambda row: str(row["source_path"]))
        _require_enough(sources, rejected, inventory.max_rejected_share, source)
        split = split_sources([_split_source(item, clip) for item in sources], inventory.test_share, seed)
        rows = clip_rows(sources, split)
        write_clips(work.folder, rows, rejected)
        write_quality(work.folder / "quality.json", sources, rows, rejected, listing.ignored)
        in_split = [row["split"] for row in rows]
        work.counts.update(
            sources=len(sources), classes=len({item.class_name for item in sources}), clips=len(rows),
            train_clips=in_split.count("train"), test_clips=in_split.count("test"), rejected=len(rejected),
        )
        counts = dict(work.counts)
    reasons = ", ".join(f"{code} {count}" for code, count in counted(rejected).items())
    return {**counts, "rejected": f"{len(rejected)} ({reasons})" if rejected else 0, "ignored": sum(listing.ignored.values()), "out": out}


def measure(task: Task) -> Source | dict[str, object]:
    """One file: a `Source`, or its row in the table of rejected files."""
    path = task.candidate.path
    try:
        measured = probe(task.source / path)
        begin, end = common_stretch(measured, task.clip)
        if measured.audio_peak < SILENCE_PEAK and not task.allow_silent:
            raise RejectedFile("silent_audio", f"all {measured.audio_end_sec - measured.audio_start_sec:.2f} s of the sound are zero")
        clips = cut(begin, end, task.clip)
        if not clips:  # its times, rounded to milliseconds, are a hair too short
            raise RejectedFile("overlap_too_short", f"{end - begin:.4f} s of both; one window is {task.clip.window_sec:g} s")
    except RejectedFile as rejection:
        return {"source_path": path, "reason": rejection.reason, "detail": rejection.detail}
    reader, because = choose_reader(task.source / path, measured)
    return Source(task.candidate, measured, reader, because, clips)


def common_stretch(measured: Probe, clip: ClipParams) -> tuple[float, float]:
    """(begin, end) in seconds of the part in which sound and picture are both there.

    Sound that starts less than one frame of `clip.fps` late begins with that much silence; sound that starts later
    moves the begin, so that no clip is padded with silence in secret.

    Raises:
        RejectedFile: it is shorter than one window.
    """
    shortest, needed = clip.window_sec - ROUNDING_SEC, f"one window is {clip.window_sec:g} s"
    video_sec, audio_sec = measured.video_end_sec, measured.audio_end_sec - measured.audio_start_sec
    if video_sec < shortest:
        raise RejectedFile("video_too_short", f"{len(measured.frame_times_sec)} frames, {video_sec:.2f} s; {needed}")
    if audio_sec < shortest:
        raise RejectedFile("audio_too_short", f"{audio_sec:.2f} s of sound; {needed}")
    begin = measured.audio_start_sec if measured.audio_start_sec > 1 / clip.fps else 0.0
    end = min(measured.video_end_sec, measured.audio_end_sec)
    if end - begin < shortest:
        sound = f"{measured.audio_start_sec:.2f} to {measured.audio_end_sec:.2f} s"
        raise RejectedFile("overlap_too_short", f"picture until {video_sec:.2f} s, sound from {sound}; {needed}")
    return begin, end


def cut(begin: float, end: float, clip: ClipParams) -> list[tuple[float, float]]:
    """Consecutive (start, duration) of whole frames, at most `clip.max_sec` and at least one window; a shorter rest is dropped."""
    begin = round(begin, 3)
    frames = int((end - begin + ROUNDING_SEC) * clip.fps)
    longest = int(clip.max_sec * clip.fps + 1e-6)
    pieces = [(first, min(longest, frames - first)) for first in range(0, frames, longest)]
    return [(round(begin + first / clip.fps, 6), length / clip.fps) for first, length in pieces if length >= clip.num_frames]


def clip_rows(sources: list[Source], split: dict[str, str]) -> list[dict[str, object]]:
    """The rows of `clips.parquet`."""
    class_ids = {name: i for i, name in enumerate(sorted({item.class_name for item in sources}))}
    rows: list[dict[str, object]] = []
    for item in sources:
        measured = item.measured
        rows += [{
            "clip_id": f"{measured.sha256[:16]}_{round(start * 1000):06d}", "source_path": item.path, "source_sha256": measured.sha256,
            "class_name": item.class_name, "class_id": class_ids[item.class_name], "split": split[measured.sha256],
            "start_sec": start, "duration_sec": duration,
            "fps": measured.fps, "width_px": measured.width_px, "height_px": measured.height_px,
            "audio_rate_hz": measured.audio_rate_hz, "audio_channels": measured.audio_channels,
            # decord is only right when it reads from the first frame on (stages/decode/video.py).
            "reader": item.reader if start == 0 else "pyav", "audio_offset_sec": measured.audio_start_sec,
            "caption": item.candidate.caption,
        } for start, duration in item.clips]
    return rows


def _measure_all(tasks: list[Task], workers: Workers) -> Iterator[Source | dict[str, object]]:
    progress, rejected = Progress("inventory", len(tasks), "files"), 0
    for result in workers.map(measure, tasks, preload=[__name__], on_crash=_crashed):
        rejected += isinstance(result, dict)
        progress.advance(note=f"rejected {rejected}")
        yield result


def _crashed(task: Task) -> dict[str, object]:
    return {"source_path": task.candidate.path, "reason": "reader_crashed",
            "detail": "the process that read it died, also when it read nothing else"}


def _without_duplicates(results: Iterator[Source | dict[str, object]]) -> tuple[list[Source], list[dict[str, object]]]:
    first: dict[str, Source] = {}
    rejected: list[dict[str, object]] = []
    for result in results:
        if isinstance(result, dict):
            rejected.append(result)
        elif (same := first.setdefault(result.measured.sha256, result)) is not result:
            rejected.append({"source_path": result.path, "reason": "duplicate", "detail": _same_as(result.candidate, same.candidate)})
            if result.candidate.split == "test" and same.candidate.split != "test":
                # What the labels hold out is held out, whichever of its copies they name.
                first[same.measured.sha256] = replace(same, candidate=replace(same.candidate, split="test"))
    return list(first.values()), rejected


def _same_as(candidate: Candidate, kept: Candidate) -> str:
    """What is told of a duplicate, with all in which it is not the same."""
    said = (("class", kept.class_name, candidate.class_name), ("split", kept.split, candidate.split),
            ("caption", kept.caption, candidate.caption))
    differs = [f"{name} is {there or 'not given'} there, {here or 'not given'} here" for name, there, here in said if there != here]
    return "; ".join([f"same bytes as {kept.path}", *differs])


def _require_enough(sources: list[Source], rejected: list[dict[str, object]], max_share: float, raw: Path) -> None:
    total = len(sources) + len(rejected)
    examples = {str(row["reason"]): str(row["source_path"]) for row in reversed(rejected)}
    table = ", ".join(f"{code} {count} (such as {examples[code]})" for code, count in counted(rejected).items())
    if not sources:
        raise DataError(f"no clip is left of the {total} files in {raw}: {table}; put other videos there, or set data.raw in params.yaml")
    if len(rejected) > max_share * total:
        raise DataError(f"{len(rejected)} of {total} files in {raw} were rejected, more than inventory.max_rejected_share {max_share:g}: "
                        f"{table}; mend or remove them, or raise inventory.max_rejected_share")


def _split_source(item: Source, clip: ClipParams) -> SplitSource:
    windows = sum(len(window_starts(round(duration * clip.fps), clip)) for _, duration in item.clips)
    return SplitSource(item.measured.sha256, item.class_name, windows, item.measured.sha256, item.candidate.split)
