"""The stage: batches of images through the frozen KL-VAE, moments to shards, clip by clip in the decode stage's order."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.contracts.audio_image_shards import gray_array, read_audio_images
from pipeline.contracts.decoded import FRAMES, META, read_decoded
from pipeline.contracts.moments import write_moments
from pipeline.contracts.outputs import stage_output
from pipeline.contracts.shards import ShardWriter
from pipeline.contracts.windows import window_key, window_starts
from pipeline.errors import DataError
from pipeline.params import ClipParams, ComputeParams, EncodeParams
from pipeline.progress import Progress
from pipeline.stage import Summary
from pipeline.training import pick_device
from stages.audio_images import rgb_from_gray
from stages.klvae import KLVAE, load
from stages.klvae.images import to_model_range


def run(*, compute: ComputeParams, clip: ClipParams, encode: EncodeParams, decode: Path, audio_images: Path, klvae: Path,
        out: Path) -> Summary:
    """Write `out` (see the package's docstring) and return the closing summary."""
    sections = {"clip": clip, "encode": encode}
    inputs = {"decode": decode, "audio_images": audio_images, "klvae": klvae}
    with stage_output(out, params=sections, inputs=inputs, code=Path(__file__).parent) as work:
        model = load(klvae, pick_device(compute))
        clips, images = read_decoded(decode, fields=(FRAMES, META)), read_audio_images(audio_images)
        place = {key: i for i, key in enumerate(images.keys)}
        progress = Progress("encode", len(clips), "clips")
        num_frames = num_windows = 0
        with ShardWriter(work.folder, encode.shard_bytes, keep_whole=True) as writer:
            for sample in clips:
                frames, meta = sample["frames"], sample["meta"]
                starts = [s for s in window_starts(len(frames), clip) if window_key(sample["key"], s) in place]
                if not starts:
                    raise DataError(f"clip {sample['key']} ({meta['source_path']}) has no audio image; run: dvc repro audio_images --force")
                if sample["key"] not in writer.kept:  # a killed run has not left it in a whole shard
                    rgb = np.stack([rgb_from_gray(gray_array(images[place[window_key(sample["key"], s)]]["gray"]), clip.frame_size_px)
                                    for s in starts])
                    moments = encode_images(model, torch.from_numpy(np.concatenate([frames, rgb])), encode.batch_size)
                    write_moments(writer, moments[:len(frames)], moments[len(frames):], {
                        **{name: meta[name] for name in ("clip_id", "class_id", "class_name", "split")}, "window_starts": starts})
                num_frames, num_windows = num_frames + len(frames), num_windows + len(starts)
                progress.advance()
        work.counts.update(clips=len(clips), frames=num_frames, windows=num_windows)
    return {"clips": len(clips), "frames": num_frames, "audio images": num_windows, "out": str(out)}


@torch.no_grad()
def encode_images(model: KLVAE, images: Tensor, batch_size: int) -> np.ndarray:
    """Moments float16 [n, 2c, h, w] of images uint8 [n, H, W, 3]."""
    device = next(model.parameters()).device
    pieces = [model.encode(to_model_range(piece).to(device)).cpu() for piece in images.split(batch_size)]
    return torch.cat(pieces).to(torch.float16).numpy()
