"""The stage: every window through the encoders once, moments to shards, statistics over the training windows."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from pipeline.contracts.clips import read_clips
from pipeline.contracts.latents import AUDIO, VIDEO, LatentStatistics, latent_sample, write_statistics
from pipeline.contracts.outputs import require_whole, stage_output
from pipeline.contracts.recipe import address, recipe
from pipeline.contracts.shard_writer import Fields, Unit, write_units
from pipeline.contracts.shards import ShardReader
from pipeline.contracts.windows import window_key
from pipeline.errors import DataError
from pipeline.params import ClipParams, ComputeParams, LatentsParams
from pipeline.progress import Progress
from pipeline.seeds import derive_seed
from pipeline.stage import Summary
from pipeline.training import pick_device
from stages.autoencoder import Autoencoder, load
from stages.autoencoder.model import Shapes
from stages.autoencoder.windows import MomentWindows, class_names
from stages.latents.statistics import ChannelStatistics
from stages.latents.text import cache_captions, captions_of, load_text_encoder


def run(*, seed: int, clip: ClipParams, compute: ComputeParams, latents: LatentsParams, inventory: Path, autoencoder: Path,
        encode: Path, out: Path) -> Summary:
    """Write `out` (see the package's docstring) and return the closing summary."""
    sections = {"seed": seed, "clip": clip, "latents": latents}
    inputs: dict[str, Path | str] = {"autoencoder": autoencoder, "encode": encode}
    if latents.text_encoder.source is not None:
        inputs["captions"] = inventory / "clips.parquet"
    with stage_output(out, params=sections, inputs=inputs, code=Path(__file__).parent) as work:
        model = load(autoencoder, pick_device(compute))
        windows = MomentWindows(encode, None, clip.num_frames)
        require_fit(autoencoder, model.shapes, encode, Shapes(*windows.latent_shape, clip.num_frames, class_names(encode)))
        audio_shape, video_shape = latent_shapes(model)
        progress = Progress("latents", len(windows), "windows")
        numbers = sum(int(np.prod(shape)) for shape in (audio_shape, video_shape))
        made_by = recipe("stages.latents.cache", sections)
        units = []
        for clip_id, members in groupby(range(len(windows)), key=lambda i: str(windows.meta(i)["clip_id"])):
            own = list(members)
            # What went in is in the signature of the unfinished work: a new autoencoder changes every clip.
            units.append(Unit(clip_id, str(windows.meta(own[0])["split"]), len(own) * 4 * numbers, address(made_by, clip_id), {}, own))

        def make(todo: Iterator[list[int]]) -> Iterator[list[tuple[str, Fields]]]:
            for own in todo:
                samples: list[tuple[str, Fields]] = []
                for first in range(0, len(own), latents.batch_size):
                    indices = own[first:first + latents.batch_size]
                    audio, video = encode_windows(model, windows, indices, seed)
                    samples += [latent_sample(audio[row], video[row], windows.meta(i)) for row, i in enumerate(indices)]
                    progress.advance(len(indices))
                yield samples

        write_units(work, units, latents.shard_bytes, make)
        text_shape: tuple[int, ...] = ()
        if latents.text_encoder.source is not None:
            encoder = load_text_encoder(latents.text_encoder, model.device)
            work.counts["captions"] = cache_captions(work, captions_of(read_clips(require_whole(inventory))), encoder)
            text_shape = encoder.shape
        audio_statistics, video_statistics = ChannelStatistics(audio_shape[0]), ChannelStatistics(video_shape[0])
        for sample in ShardReader(work.folder, "train", (AUDIO, VIDEO), whole=False):
            audio_statistics.add(sample["audio"][None])
            video_statistics.add(sample["video"][None])
        write_statistics(work.folder, LatentStatistics(
            audio_shape=audio_shape, video_shape=video_shape, audio_mean=audio_statistics.mean, audio_std=audio_statistics.std,
            video_mean=video_statistics.mean, video_std=video_statistics.std, class_names=model.class_names, text_shape=text_shape))
        work.counts.update(windows=len(windows), training_windows=audio_statistics.count // (audio_shape[1] * audio_shape[2]))
    return {"windows": len(windows), "z_a": list(audio_shape), "z_v": list(video_shape), "out": str(out)}


def encode_windows(model: Autoencoder, windows: MomentWindows, indices: list[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Moments of z_a and z_v of windows, float16 [b, 2C, h, w]; the KL-VAE's latents are drawn with each window's own seed."""
    batch = windows.batch(indices)
    keys = [window_key(str(meta["clip_id"]), int(str(meta["start_frame"]))) for meta in map(windows.meta, indices)]
    drawn = {}
    for name in ("video", "audio"):
        mean, logvar = batch[name].float().chunk(2, dim=-3)
        noise = torch.stack([torch.randn(mean.shape[1:], generator=torch.Generator().manual_seed(derive_seed(seed, "latents", name, key)))
                             for key in keys])
        drawn[name] = mean + (0.5 * logvar).exp() * noise
    audio, video = model.encode(drawn["video"], drawn["audio"])
    return audio.cpu().to(torch.float16).numpy(), video.cpu().to(torch.float16).numpy()


def require_fit(autoencoder: Path, learnt: Shapes, encode: Path, found: Shapes) -> None:
    """The autoencoder was trained on data of this kind.

    Raises:
        DataError: naming what differs, on both sides.
    """
    if found.num_frames != learnt.num_frames:
        differs = f"on windows of {learnt.num_frames} frames, clip.num_frames is {found.num_frames}"
    elif (found.kl_channels, found.kl_side) != (learnt.kl_channels, learnt.kl_side):
        differs = (f"on latents of {learnt.kl_channels} channels and side {learnt.kl_side}, {encode} has {found.kl_channels} and "
                   f"{found.kl_side}")
    elif found.class_names != learnt.class_names:
        pairs = enumerate(zip(learnt.class_names, found.class_names, strict=False))
        first = "".join([f"; class {i} was {one or 'absent'} and is {other or 'absent'}" for i, (one, other) in pairs if one != other][:1])
        differs = f"on {len(learnt.class_names)} classes, {encode} has {len(found.class_names)}{first}"
    else:
        return
    raise DataError(f"{autoencoder} was trained {differs}; run: dvc repro autoencoder")


def latent_shapes(model: Autoencoder) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """[C, h, w] of z_a and z_v."""
    params, side = model.network.params, model.shapes.kl_side
    audio, video = params.audio_encoder, params.video_encoder
    a, v = side // audio.factor, side // video.factor
    return (audio.latent_channels, a, a), (video.latent_channels, v, v)
