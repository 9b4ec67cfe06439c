"""The stage: every window of every clip to a gray PNG; clips that an earlier run has done are taken over."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.contracts.decoded import META, WAVEFORM, float_waveform, read_decoded
from pipeline.contracts.outputs import stage_output, write_text
from pipeline.contracts.recipe import address, recipe
from pipeline.contracts.shard_writer import Fields, Unit, write_units
from pipeline.contracts.shards import read_hashes
from pipeline.contracts.windows import mel_columns, window_starts, window_waveform
from pipeline.errors import DataError
from pipeline.params import AudioImagesParams, AudioParams, ClipParams, VocoderParams
from pipeline.progress import Progress
from pipeline.stage import Summary
from pipeline.workers import Workers
from stages.audio_images.round_trip import chosen_clips, round_trip_losses
from stages.audio_images.windows import ClipSound, clip_samples

SHARD_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class ClipTask:
    """A clip whose windows become images."""

    index: int
    """Its place in the decode stage's shards."""
    clip_id: str
    window_starts: list[int]
    told: dict[str, object]
    """class_id, split."""


def run(*, seed: int, clip: ClipParams, audio: AudioParams, vocoder: VocoderParams, audio_images: AudioImagesParams,
        workers: Workers, decode: Path, out: Path) -> Summary:
    """Write `out` (see the package's docstring) and return the closing summary."""
    workers.prepare("stages.audio_images.windows")
    sections = {"clip": clip, "audio": audio, "vocoder": vocoder, "audio_images": audio_images, "seed": seed}
    with stage_output(out, params=sections, inputs={"decode": decode}, code=Path(__file__).parent, takes_over=True) as work:
        waves = read_decoded(decode, fields=(WAVEFORM,))
        units = clip_units(decode, clip, audio, audio_images)
        if not units:
            raise DataError(f"no clip of {decode} holds a window of {clip.window_sec:g} s; lower clip.num_frames or add longer videos")

        def make(todo: Iterator[ClipTask]) -> Iterator[list[tuple[str, Fields]]]:
            sounds = (ClipSound(task.clip_id, waves[task.index]["waveform"], task.window_starts, task.told, clip, audio, audio_images)
                      for task in todo)
            return workers.map(clip_samples, sounds, preload=["stages.audio_images.windows"])

        progress = Progress("audio_images", len(units), "clips")
        tally = write_units(work, units, SHARD_BYTES, make, progress.advance)
        starts_of = {unit.name: unit.task for unit in units}
        chosen = [starts_of[name] for name in chosen_clips(starts_of, audio_images.num_report_windows, seed)]
        losses = round_trip_losses(
            (window_waveform(float_waveform(waves[task.index]["waveform"]), task.window_starts[0], clip, audio) for task in chosen),
            clip, audio, vocoder, audio_images)
        write_text(work.folder / "metrics.json", json.dumps(losses, indent=1) + "\n")
        windows = sum(len(unit.task.window_starts) for unit in units)
        work.counts.update(clips=len(waves), windows=windows)
    return {"clips": len(waves), "windows": windows, **tally.summary(), "mel": f"{audio.n_mels}x{mel_columns(clip, audio)}",
            "out": str(out), **{name: f"{value:.3g}" for name, value in losses.items()}}


def clip_units(decode: Path, clip: ClipParams, audio: AudioParams, audio_images: AudioImagesParams) -> list[Unit[ClipTask]]:
    """Every clip that holds a window, in the decode stage's order; known by its waveform's bytes."""
    waves, hashes = read_decoded(decode, fields=(WAVEFORM,)), read_hashes(decode, WAVEFORM)
    made_by = recipe("stages.audio_images.windows", {
        "window": [clip.fps, clip.num_frames, clip.window_stride], "audio": audio, "db": [audio_images.db_floor, audio_images.db_ceiling]})
    units = []
    for i, sample in enumerate(read_decoded(decode, fields=(META,))):
        key, meta = sample["key"], sample["meta"]
        starts = window_starts(round(waves.shape(i, WAVEFORM)[0] / audio.sample_rate_hz * clip.fps), clip)
        if starts:
            told = {name: meta[name] for name in ("class_id", "split")}
            num_bytes = len(starts) * audio.n_mels * mel_columns(clip, audio)
            task = ClipTask(i, key, starts, told)
            units.append(Unit(key, meta["split"], num_bytes, address(made_by, key, hashes[key]), told, task))
    return units
