"""The stage: clip by clip through the frozen KL-VAE, moments to shards; clips that an earlier run encoded are taken over."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.contracts.audio_image_shards import GRAY, read_audio_images
from pipeline.contracts.decoded import FRAMES, read_decoded
from pipeline.contracts.moments import moments_sample
from pipeline.contracts.outputs import content_hash, stage_output
from pipeline.contracts.recipe import address, recipe
from pipeline.contracts.shard_writer import Fields, Unit, write_units
from pipeline.contracts.shards import META, read_hashes
from pipeline.contracts.windows import window_key, window_starts
from pipeline.errors import DataError
from pipeline.params import ClipParams, ComputeParams, EncodeParams
from pipeline.progress import Progress
from pipeline.stage import Summary
from pipeline.training import pick_devices
from stages.encode.devices import map_on_devices
from stages.encode.moments import Encoder, clip_moments
from stages.klvae import load

NETWORK = (".safetensors", "config.json")
"""Files that decide what the KL-VAE computes; its metrics change with the data, which need not encode old clips again."""


@dataclass(frozen=True, slots=True)
class ClipTask:
    """A clip to encode."""

    index: int
    """Its place in the decode stage's shards."""
    window_starts: list[int]
    told: dict[str, object]
    """Its meta.json."""


def run(*, compute: ComputeParams, clip: ClipParams, encode: EncodeParams, decode: Path, audio_images: Path, klvae: Path,
        out: Path) -> Summary:
    """Write `out` (see the package's docstring) and return the closing summary."""
    sections = {"clip": clip, "encode": encode}
    inputs = {"decode": decode, "audio_images": audio_images, "klvae": klvae}
    with stage_output(out, params=sections, inputs=inputs, code=Path(__file__).parent, takes_over=True) as work:
        encoders = [Encoder(load(klvae, device), encode.batch_size) for device in pick_devices(compute)]
        model, device = encoders[0].model, encoders[0].device.type
        clips, images = read_decoded(decode, fields=(FRAMES,)), read_audio_images(audio_images)
        place = {key: i for i, key in enumerate(images.keys)}
        made_by = recipe("stages.encode.moments", {
            "batch_size": encode.batch_size, "flips": encode.flips, "klvae": content_hash(klvae, NETWORK),
            # The last place of a moment depends on them; pieces of two machines are not mixed.
            "device": device, "threads": torch.get_num_threads() if device == "cpu" else 0})
        frame_hashes, image_hashes = read_hashes(decode, FRAMES), read_hashes(audio_images, GRAY)
        units = []
        num_frames = num_windows = 0
        for i, sample in enumerate(read_decoded(decode, fields=(META,))):
            key, meta = sample["key"], sample["meta"]
            length = clips.shape(i, FRAMES)[0]
            starts = [start for start in window_starts(length, clip) if window_key(key, start) in place]
            if not starts:
                raise DataError(f"clip {key} ({meta['source_path']}) has no audio image; run: dvc repro audio_images --force")
            made_from = [key, starts, frame_hashes[key], *(image_hashes[window_key(key, start)] for start in starts)]
            told = {"clip_id": key, "window_starts": starts, **{name: meta[name] for name in ("class_id", "class_name", "split")}}
            num_bytes = (length * (1 + encode.flips) + len(starts)) * 4 * model.latent_channels * (clip.frame_size_px // model.factor)**2
            units.append(Unit(key, meta["split"], num_bytes, address(made_by, *made_from), told, ClipTask(i, starts, told)))
            num_frames, num_windows = num_frames + length, num_windows + len(starts)

        def made(encoder: Encoder, task: ClipTask) -> list[tuple[str, Fields]]:
            sample = clips[task.index]
            pngs = [images[place[window_key(sample["key"], start)]]["gray"] for start in task.window_starts]
            video, audio, flipped = clip_moments(encoder, sample["frames"], pngs, encode.flips)
            return [moments_sample(video, audio, task.told, flipped)]

        def make(todo: Iterator[ClipTask]) -> Iterator[list[tuple[str, Fields]]]:
            return map_on_devices(made, encoders, todo)

        progress = Progress("encode", len(units), "clips")
        tally = write_units(work, units, encode.shard_bytes, make, progress.advance)
        work.counts.update(clips=len(units), frames=num_frames, windows=num_windows)
    return {"clips": len(units), "frames": num_frames, "audio images": num_windows, **tally.summary(), "out": str(out)}
