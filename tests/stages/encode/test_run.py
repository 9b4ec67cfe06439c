"""KL-VAE moments in shards: pytest tests/stages/encode"""

import sys

import numpy as np
import pytest
import torch

from pipeline.contracts.moments import read_moments
from pipeline.contracts.windows import window_starts
from stages.encode import run
from stages.klvae import load
from stages.klvae.images import to_model_range
from tests.stages.encode.start import encode, finished_frames

MODULE = sys.modules[run.__module__]  # the package's attribute of this name is the function


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

    def until_the_power_fails(encoder, frames, pngs, flips):
        if len(encoded) == 5:
            raise KeyboardInterrupt
        encoded.append(len(frames))
        return original(encoder, frames, pngs, flips)

    monkeypatch.setattr(MODULE, "clip_moments", until_the_power_fails)
    with pytest.raises(KeyboardInterrupt):
        encode(finished, klvae, tmp_path / "cut/encode")
    again: list[int] = []
    monkeypatch.setattr(MODULE, "clip_moments", lambda *args: again.append(1) or original(*args))
    encode(finished, klvae, tmp_path / "cut/encode")
    assert 0 < len(again) < len(read_moments(tmp_path / "whole/encode"))
    for path in sorted((tmp_path / "whole/encode").iterdir()):
        assert path.read_bytes() == (tmp_path / "cut/encode" / path.name).read_bytes(), path.name
