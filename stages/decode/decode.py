"""The run of decode: clips to worker processes, results into shards in the order of clip_id."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.contracts.clips import read_clips
from pipeline.contracts.decoded import write_decoded
from pipeline.contracts.outputs import require_whole, stage_output
from pipeline.contracts.shards import ShardWriter
from pipeline.errors import DataError
from pipeline.params import ClipParams, DecodeParams
from pipeline.progress import Progress, say
from pipeline.workers import core_count, map_ordered
from stages.decode.tasks import ClipTask, clip_tasks

if TYPE_CHECKING:
    from stages.decode.clip_reader import DecodedClip


def run(*, clip: ClipParams, sample_rate_hz: int, decode: DecodeParams, source: Path, inventory: Path, out: Path) -> dict[str, object]:
    """Decode every clip of the inventory into shards.

    Args:
        sample_rate_hz: of the written waveforms.
        source: the folder `<class>/<file>` (`data.raw`).
        inventory: the inventory's output folder.
        out: the stage's output folder; whole shards of a killed run are kept.

    Raises:
        DataError: a file changed or can no longer be decoded; decord is asked for and absent.
    """
    if decode.reader == "decord" and importlib.util.find_spec("decord") is None:
        raise DataError('decode.reader is "decord", which is not installed (it has no build for this machine); set decode.reader to auto')
    clips = read_clips(require_whole(inventory))
    say("decode", f"{len(clips)} clips of {source} -> {out}, {clip.frame_size_px} px, {clip.fps} fps, {sample_rate_hz} Hz, "
                  f"{decode.num_workers or core_count()} workers")
    # The number of workers changes no byte, so it is no part of what the output is known by.
    known_by = {"clip": clip, "sample_rate_hz": sample_rate_hz, "reader": decode.reader, "shard_bytes": decode.shard_bytes}
    scaled = 0
    with stage_output(out, params=known_by, inputs={"inventory": inventory / "clips.parquet"}, code=Path(__file__).parent) as work:
        with ShardWriter(work.folder, decode.shard_bytes, keep_whole=True) as writer:
            tasks = list(clip_tasks(clips[~clips["clip_id"].isin(writer.kept)], clip, sample_rate_hz, decode.reader, source))
            progress = Progress("decode", len(tasks), "clips")
            for decoded in map_ordered(_read_clip, tasks, num_workers=decode.num_workers, preload=["stages.decode.clip_reader"]):
                write_decoded(writer, decoded.frames, decoded.waveform, decoded.meta)
                scaled += decoded.meta["gain"] != 1.0
                progress.advance()
        frames = int((clips["duration_sec"] * clip.fps).round().sum())
        work.counts.update(clips=len(clips), frames=frames)
    kept = {"kept_from_before": len(clips) - len(tasks)} if len(tasks) < len(clips) else {}
    return {"clips": len(clips), "frames": frames, **kept, "peak_scaled": scaled, "out": out}


def _read_clip(task: ClipTask) -> "DecodedClip":
    """`read_clip`, imported where the work is done: it brings torch, which the process that hands out the work does not need."""
    from stages.decode.clip_reader import read_clip

    return read_clip(task)
