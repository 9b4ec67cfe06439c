"""The stage: choose examples, write their files, and the page."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import yaml

from pipeline.contracts.clips import class_names, read_clips, read_rejected
from pipeline.contracts.metrics import metrics_rows
from pipeline.contracts.neighbours import read_neighbours
from pipeline.contracts.outputs import read_success, stage_output, write_text
from pipeline.contracts.samples import read_samples
from pipeline.errors import DataError
from pipeline.params import AudioParams, ClipParams, ReportParams
from pipeline.progress import say
from pipeline.stage import Summary
from stages.report.curves import read_curves
from stages.report.glossary import TASKS
from stages.report.likeness import HELD_OUT, likenesses, suspects
from stages.report.media import Media
from stages.report.page import Content, NearPair, Pair, page


def run(*, clip: ClipParams, audio: AudioParams, report: ReportParams, inventory: Path, decode: Path, local_features: Path,
        audio_images: Path, klvae: Path, autoencoder: Path, dit: Path, sample: Path, evaluate: Path, out: Path) -> Summary:
    """Write `out` (see the package's docstring) and return the closing summary.

    Raises:
        DataError: an input is absent, not whole, or names what another does not hold.
    """
    trained = {"klvae": klvae, "autoencoder": autoencoder, "dit": dit}
    stages = {"inventory": inventory, "decode": decode, "local_features": local_features, "audio_images": audio_images, **trained,
              "sample": sample, "evaluate": evaluate}
    inputs: dict[str, Path | str] = {**stages}
    with stage_output(out, params={"clip": clip, "audio": audio, "report": report}, inputs=inputs, code=Path(__file__).parent) as work:
        samples = read_samples(sample)
        media = Media(work.folder, clip, audio, decode=decode, audio_images=audio_images, sample=sample)
        pairs = {task: [pair_of(row, media, place) for place, (_, row) in enumerate(examples(group, report.num_examples).iterrows())]
                 for task in TASKS if len(group := samples[samples["task"] == task])}
        media.write_sheets()
        figures, neighbours = metrics_rows(evaluate), read_neighbours(evaluate)
        clips, rejected = read_clips(inventory), read_rejected(inventory)
        content = Content(
            classes=clips_per_class(clips), clip_sec=float(clips["duration_sec"].sum()), num_samples=len(samples), pairs=pairs,
            rejected={str(reason): int(count) for reason, count in rejected["reason"].value_counts().sort_index().items()},
            metrics=[row for row in figures if row["value"] is not None], missing=[row for row in figures if row["value"] is None],
            likenesses=likenesses(neighbours), suspects=near_pairs(neighbours, samples, media, report.num_examples),
            curves={name: read_curves(folder / "curves.csv") for name, folder in curve_folders(trained, local_features).items()},
            params={name: yaml.safe_dump(read_success(folder)["params"], allow_unicode=True) for name, folder in stages.items()})
        write_text(work.folder / "index.html", page(content))
        shown = sum(len(found) for found in pairs.values())
        work.counts.update(examples=shown, figures=len(content.metrics), not_computed=len(content.missing))
        say("report", f"{shown} samples shown beside real clips, {len(content.metrics)} figures, {len(content.missing)} not computed")
    return {"open": str(out / "index.html")}


def examples(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """`count` rows of one task with the classes taking turns, in the order of the table."""
    turn = rows.groupby("class_id").cumcount()
    return rows.loc[pd.DataFrame({"turn": turn, "class": rows["class_id"]}).sort_values(["turn", "class"], kind="stable").index[:count]]


def pair_of(row: pd.Series, media: Media, place: int) -> Pair:
    """A sample beside its condition or original, or beside a held-out clip of its class (another one for each `place`)."""
    window = (str(row["condition_clip_id"]), int(row["condition_start_frame"])) if row["condition_clip_id"] else None
    window = window or media.window_of_class(int(row["class_id"]), place)
    return Pair(media.real(*window) if window else None, media.generated(row))


def near_pairs(neighbours: pd.DataFrame, samples: pd.DataFrame, media: Media, count: int) -> dict[str, list[NearPair]]:
    """By task, the samples that come nearest to a training clip, each beside it."""
    rows = {str(row["sample_id"]): row for _, row in samples.iterrows()}
    found: dict[str, list[NearPair]] = {}
    for task in (task for task in TASKS if task != HELD_OUT):
        for suspect in suspects(neighbours, task, count):
            if suspect.sample_id not in rows:
                raise DataError(f"data/evaluate looked at {suspect.sample_id}, which data/sample does not hold; run: dvc repro evaluate")
            sample, learnt = media.generated(rows[suspect.sample_id], on_sheet=False), media.real(suspect.clip_id, suspect.start_frame)
            found.setdefault(task, []).append(NearPair(sample, learnt, suspect.says, suspect.flagged))
    return found


def curve_folders(trained: Mapping[str, Path], local_features: Path) -> dict[str, Path]:
    """Folder of each training's curves.csv by the name shown."""
    return {**trained, **{f"local features, {modality}": local_features / modality for modality in ("video", "audio")}}


def clips_per_class(clips: pd.DataFrame) -> list[tuple[str, int, int]]:
    """(class, training clips, held-out clips) by class_id."""
    counts = clips.groupby(["class_name", "split"]).size()
    return [(name, int(counts.get((name, "train"), 0)), int(counts.get((name, "test"), 0))) for name in class_names(clips)]
