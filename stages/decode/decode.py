"""The run of decode: clips to worker processes, results into shards; clips that an earlier run decoded are taken over."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.contracts.clips import read_clips
from pipeline.contracts.decoded import decoded_sample
from pipeline.contracts.outputs import require_whole, stage_output
from pipeline.contracts.recipe import address, recipe
from pipeline.contracts.shard_writer import Fields, Unit, write_units
from pipeline.contracts.shards import META, ShardReader
from pipeline.errors import DataError
from pipeline.params import ClipParams, DecodeParams
from pipeline.progress import Progress, say
from pipeline.workers import Workers
from stages.decode.tasks import ClipTask, clip_tasks

if TYPE_CHECKING:
    from stages.decode.clip_reader import DecodedClip


def run(*, clip: ClipParams, sample_rate_hz: int, decode: DecodeParams, workers: Workers, source: Path, inventory: Path,
        out: Path) -> dict[str, object]:
    """Decode every clip of the inventory into shards.

    Args:
        sample_rate_hz: of the written waveforms.
        workers: who decodes; changes no byte of the output.
        source: the folder `<class>/<file>` (`data.raw`).
        inventory: the inventory's output folder.
        out: the stage's output folder; clips decoded by the last run, or by one that was killed, are taken over.

    Raises:
        DataError: a file changed or can no longer be decoded; decord is asked for and absent.
    """
    if decode.reader == "decord" and importlib.util.find_spec("decord") is None:
        raise DataError('decode.reader is "decord", which is not installed (it has no build for this machine); set decode.reader to auto')
    workers.prepare("stages.decode.clip_reader")
    clips = read_clips(require_whole(inventory))
    say("decode", f"{len(clips)} clips of {source} -> {out}, {clip.frame_size_px} px, {clip.fps} fps, {sample_rate_hz} Hz, "
                  f"{workers}")
    known_by = {"clip": clip, "sample_rate_hz": sample_rate_hz, "reader": decode.reader, "shard_bytes": decode.shard_bytes}
    made_by = recipe("stages.decode.clip_reader", {})
    tasks = list(clip_tasks(clips, clip, sample_rate_hz, decode.reader, source))
    progress = Progress("decode", len(tasks), "clips")

    def make(todo: Iterator[ClipTask]) -> Iterator[list[tuple[str, Fields]]]:
        for decoded in workers.map(_read_clip, todo, preload=["stages.decode.clip_reader"]):
            yield [decoded_sample(decoded.frames, decoded.waveform, decoded.meta)]

    with stage_output(out, params=known_by, inputs={"inventory": inventory / "clips.parquet"}, code=Path(__file__).parent,
                      takes_over=True) as work:
        tally = write_units(work, (unit(task, made_by) for task in tasks), decode.shard_bytes, make, progress.advance)
        scaled = sum(sample["meta"]["gain"] != 1.0 for sample in ShardReader(work.folder, fields=[META], whole=False))
        frames = sum(task.num_frames for task in tasks)
        work.counts.update(clips=len(tasks), frames=frames)
    return {"clips": len(tasks), "frames": frames, **tally.summary(), "peak_scaled": scaled, "out": out}


def unit(task: ClipTask, made_by: str) -> Unit[ClipTask]:
    """A clip as the shards' writer knows it: by the source's content, the stretch and the settings, not by its path or class."""
    told = {"class_id": task.class_id, "class_name": task.class_name, "split": task.split, "source_path": task.source_path}
    num_bytes = task.num_frames * (task.size_px**2 * 3 + 2 * task.rate_hz // task.fps)
    return Unit(task.clip_id, task.split, num_bytes, address(made_by, task.decided_by()), told, task)


def _read_clip(task: ClipTask) -> "DecodedClip":
    """`read_clip`, imported where the work is done: it brings torch, which the process that hands out the work does not need."""
    from stages.decode.clip_reader import read_clip

    return read_clip(task)
