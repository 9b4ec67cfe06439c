"""KL-VAE moments in shards: pytest tests/stages/encode"""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.contracts.decoded import read_decoded
from pipeline.contracts.moments import read_moments
from pipeline.contracts.outputs import stage_output
from pipeline.contracts.windows import window_starts
from pipeline.params import ComputeParams, EncodeParams
from stages.encode import run
from stages.klvae import load
from stages.klvae.images import to_model_range
from tests.stages.klvae.small import small_kl

MODULE = sys.modules[run.__module__]  # the package's attribute of this name is the function
COMPUTE = ComputeParams(device="cpu", num_threads=1, num_workers=1, dask_scheduler=None)
ENCODE = EncodeParams(batch_size=5, shard_bytes=4000)


@pytest.fixture()
def klvae(tmp_path: Path) -> Path:
    """A finished klvae stage with random weights."""
    with stage_output(tmp_path / "klvae", params={}, inputs={}, code=tmp_path) as work:
        small_kl().save_pretrained(work.folder)
    return tmp_path / "klvae"


def encode(finished, klvae: Path, out: Path, params: EncodeParams = ENCODE) -> dict[str, object]:
    return run(compute=COMPUTE, clip=finished.clip, encode=params, decode=finished.decode, audio_images=finished.audio_images,
               klvae=klvae, out=out)


def test_every_frame_and_window_has_the_moments_of_its_image(finished_run, klvae, tmp_path) -> None:
    finished = finished_run()
    encode(finished, klvae, tmp_path / "encode")
    clips = read_moments(tmp_path / "encode")
    first = clips[0]
    frames = finished_frames(finished, first["key"])
    assert first["video"].shape == (len(frames), 8, 8, 8) and first["video"].dtype == np.float16
    assert first["meta"]["window_starts"] == window_starts(len(frames), finished.clip)
    assert len(first["audio"]) == len(first["meta"]["window_starts"])
    with torch.no_grad():
        alone = load(klvae).encode(to_model_range(torch.from_numpy(frames[3:4]))).numpy()
    np.testing.assert_allclose(first["video"][3:4].astype(np.float32), alone, atol=5e-3)


def test_a_killed_run_keeps_its_whole_shards_and_ends_with_the_same_bytes(finished_run, klvae, tmp_path, monkeypatch) -> None:
    finished = finished_run()
    encode(finished, klvae, tmp_path / "whole/encode")
    encoded: list[int] = []
    original = MODULE.clip_moments

    def until_the_power_fails(model, frames, pngs, batch_size):
        if len(encoded) == 5:
            raise KeyboardInterrupt
        encoded.append(len(frames))
        return original(model, frames, pngs, batch_size)

    monkeypatch.setattr(MODULE, "clip_moments", until_the_power_fails)
    with pytest.raises(KeyboardInterrupt):
        encode(finished, klvae, tmp_path / "cut/encode")
    again: list[int] = []
    monkeypatch.setattr(MODULE, "clip_moments", lambda *args: again.append(1) or original(*args))
    encode(finished, klvae, tmp_path / "cut/encode")
    assert 0 < len(again) < len(read_moments(tmp_path / "whole/encode"))
    for path in sorted((tmp_path / "whole/encode").iterdir()):
        assert path.read_bytes() == (tmp_path / "cut/encode" / path.name).read_bytes(), path.name


def finished_frames(finished, key: str) -> np.ndarray:
    clips = read_decoded(finished.decode)
    return clips[clips.keys.index(key)]["frames"]
