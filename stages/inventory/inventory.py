"""The run of the inventory: list, measure what is new, cut into clips, split, write."""

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import scipy

from pipeline.contracts.clips import write_clips
from pipeline.contracts.outputs import Work, stage_output, write_text
from pipeline.contracts.recipe import recipe
from pipeline.contracts.sources import PAIRS, PAIRS_SCHEMA, SOURCES, SOURCES_SCHEMA, write_sources
from pipeline.errors import DataError
from pipeline.params import ClipParams, InventoryParams
from pipeline.progress import say
from pipeline.workers import Workers
from stages.inventory.accepted import Source, accept
from stages.inventory.groups import group_keys, without_conflicts
from stages.inventory.known import Known
from stages.inventory.labels import read_labels
from stages.inventory.listing import Candidate, list_files, require_folder
from stages.inventory.measured import Outcome, outcome_from
from stages.inventory.pairs import judged_by, judged_pairs
from stages.inventory.quality import quality
from stages.inventory.quality_lines import quality_lines
from stages.inventory.reasons import REASONS, counted
from stages.inventory.same_recording import Verdict, verdict_from
from stages.inventory.split import SplitSource, split_sources
from stages.inventory.stretches import num_windows
from stages.inventory.survey import survey


def run(
    *, seed: int, clip: ClipParams, inventory: InventoryParams, workers: Workers, source: Path, out: Path,
) -> dict[str, object]:
    """Measure every file of `source` and write the tables to `out`.

    Args:
        workers: who measures; changes no byte of the output.
        source: the folder `<class>/<file>` (`data.raw`).
        out: the stage's output folder; what the last run measured, or one that was killed, is not decoded again.

    Raises:
        DataError: no folder, no class folders, a table of labels that cannot be used, no clip left, too many rejected, nothing that
            could be held out.
    """
    require_folder(source)
    listing = list_files(source, read_labels(source, inventory.labels) if inventory.labels else None)
    say("inventory", f"{len(listing.candidates)} files of {source} -> {out}, each one decoded whole that was not before | {workers}")
    known_by = {"seed": seed, "clip": clip, "inventory": inventory}
    measured_by = recipe("stages.inventory.measure", {"scipy": scipy.__version__})
    workers.prepare("stages.inventory.measure")
    with stage_output(out, params=known_by, inputs={"raw": source}, code=Path(__file__).parent, takes_over=True) as work:
        with Known(work, SOURCES, SOURCES_SCHEMA, measured_by, parse=outcome_from, row=Outcome.row, key=Outcome.key) as outcomes:
            found = survey(source, listing.candidates, outcomes, workers)
        sources, rejected = accept(found.files, clip, inventory.allow_silent)
        rejected += [*listing.rejected, *(file.row() for file in found.passing)]
        _require_enough(sources, rejected, inventory.max_rejected_share, source, work.scratch / "rejected.csv")
        verdicts = _judged(work, source, sources, workers) if inventory.near_duplicates else []
        groups = group_keys(sources, [verdict.key() for verdict in verdicts if verdict.same], inventory.source_pattern)
        sources, conflicts = without_conflicts(sources, groups)
        rejected = sorted([*rejected, *conflicts], key=lambda row: str(row["source_path"]))
        _require_enough(sources, rejected, inventory.max_rejected_share, source, work.scratch / "rejected.csv")
        split = split_sources([_split_source(item, groups, clip) for item in sources], inventory.test_share, seed)
        rows = clip_rows(sources, split)
        write_clips(work.folder, rows, rejected)
        write_sources(work.folder, source_rows(found.files, groups, split, measured_by),
                      ({**asdict(verdict), "made_by": judged_by()} for verdict in verdicts))
        report = quality(sources, rows, rejected, listing.ignored, groups)
        write_text(work.folder / "quality.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
        in_split = [row["split"] for row in rows]
        work.counts.update(
            sources=len(sources), groups=len({groups[item.sha256] for item in sources}), classes=len({item.class_name for item in sources}),
            clips=len(rows), train_clips=in_split.count("train"), test_clips=in_split.count("test"), rejected=len(rejected),
        )
        counts = dict(work.counts)
    for line in quality_lines(report):
        say("inventory", line)
    reasons = ", ".join(f"{code} {count}" for code, count in counted(rejected).items())
    return {**counts, "rejected": f"{len(rejected)} ({reasons})" if rejected else 0, "ignored": sum(listing.ignored.values()),
            "decoded": found.num_decoded, "out": out}


def _judged(work: Work, source: Path, sources: list[Source], workers: Workers) -> list[Verdict]:
    with Known(work, PAIRS, PAIRS_SCHEMA, judged_by(), parse=verdict_from, row=asdict, key=Verdict.key) as known:
        return judged_pairs(source, sources, known, workers)


def clip_rows(sources: list[Source], split: dict[str, str]) -> list[dict[str, object]]:
    """The rows of `clips.parquet`."""
    class_ids = {name: i for i, name in enumerate(sorted({item.class_name for item in sources}))}
    rows: list[dict[str, object]] = []
    for item in sources:
        measured = item.measured
        rows += [{
            "clip_id": f"{item.sha256[:16]}_{round(start * 1000):06d}", "source_path": item.path, "source_sha256": item.sha256,
            "class_name": item.class_name, "class_id": class_ids[item.class_name], "split": split[item.sha256],
            "start_sec": start, "duration_sec": duration,
            "fps": measured.fps, "width_px": measured.width_px, "height_px": measured.height_px,
            "audio_rate_hz": measured.audio_rate_hz, "audio_channels": measured.audio_channels,
            # decord is only right when it reads from the first frame on (stages/decode/video.py).
            "reader": measured.reader if start == 0 else "pyav", "audio_offset_sec": measured.audio_start_sec,
            "caption": item.candidate.caption,
        } for start, duration in item.clips]
    return rows


def source_rows(
    files: list[tuple[Candidate, Outcome]], groups: dict[str, str], split: dict[str, str], measured_by: str,
) -> list[dict[str, object]]:
    """The rows of `sources.parquet`: every content that could be looked at, used or not."""
    first: dict[str, dict[str, object]] = {}
    for candidate, outcome in files:
        sha = outcome.sha256
        used = {"group": groups[sha], "split": split[sha]} if sha in split else {"group": "", "split": ""}
        first.setdefault(sha, {**outcome.row(), **used, "source_path": candidate.path, "made_by": measured_by})
    return list(first.values())


def _require_enough(sources: list[Source], rejected: list[dict[str, object]], max_share: float, raw: Path, listed: Path) -> None:
    """`listed` gets every rejected file with its reason, as no output will hold them."""
    if sources and len(rejected) <= max_share * (len(sources) + len(rejected)):
        return
    write_text(listed, pd.DataFrame(rejected, columns=["source_path", "reason", "detail"]).to_csv(index=False))
    for code, count in counted(rejected).items():
        say("inventory", f"rejected: {count} {code} ({REASONS[code]})")
    total = len(sources) + len(rejected)
    examples = {str(row["reason"]): str(row["source_path"]) for row in reversed(rejected)}
    table = ", ".join(f"{code} {count} (such as {examples[code]})" for code, count in counted(rejected).items())
    if not sources:
        raise DataError(f"no clip is left of the {total} files in {raw}: {table}; all are listed in {listed}; "
                        "put other videos there, or set data.raw in params.yaml")
    raise DataError(f"{len(rejected)} of {total} files in {raw} were rejected, more than inventory.max_rejected_share {max_share:g}: "
                    f"{table}; all are listed in {listed}; mend or remove them, or raise inventory.max_rejected_share")


def _split_source(item: Source, groups: dict[str, str], clip: ClipParams) -> SplitSource:
    return SplitSource(item.sha256, item.class_name, num_windows(item.clips, clip), groups[item.sha256], item.candidate.split)

