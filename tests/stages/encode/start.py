"""Start the encode stage on folders made by a test."""

from pathlib import Path

import numpy as np

from pipeline.contracts.decoded import read_decoded
from pipeline.params import ComputeParams, EncodeParams
from stages.encode import run

COMPUTE = ComputeParams(device="cpu", num_threads=1, num_workers=1, dask_scheduler=None)
ENCODE = EncodeParams(batch_size=5, flips=False, shard_bytes=4000)


def encode(finished, klvae: Path, out: Path, params: EncodeParams = ENCODE) -> dict[str, object]:
    return run(compute=COMPUTE, clip=finished.clip, encode=params, decode=finished.decode, audio_images=finished.audio_images,
               klvae=klvae, out=out)


def finished_frames(finished, key: str) -> np.ndarray:
    clips = read_decoded(finished.decode)
    return clips[clips.keys.index(key)]["frames"]
