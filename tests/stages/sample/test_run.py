"""The sample stage over small untrained networks: everything that it promises but beauty.

    pytest tests/stages/sample/test_run.py
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.contracts.audio_image_shards import gray_array, read_audio_images
from pipeline.contracts.decoded import read_decoded
from pipeline.contracts.latents import LatentStatistics, latent_sample, write_statistics
from pipeline.contracts.outputs import stage_output
from pipeline.contracts.samples import read_lossless, read_samples
from pipeline.errors import DataError
from pipeline.params import ComputeParams, SampleParams, load_params
from stages.autoencoder.model import MultiModalAutoencoder, Shapes
from stages.autoencoder.model import save as save_autoencoder
from stages.dit.checkpoint import make_network
from stages.dit.checkpoint import save as save_dit
from stages.klvae.model import build_scratch
from stages.sample import run as sample_run
from tests.shards import write_shards

NAMES = ("across", "down")
SAMPLE = SampleParams(tasks=("svg", "a2v", "v2a"), num_samples=3, sampler="ddim", steps=2, guidance_scale=2.0, guidance_interval=(0.0, 1.0),
                        guidance_rescale=0.0, batch_size=2)


@dataclass(frozen=True, slots=True)
class Ready:
    """All that the stage takes but `out` and `sample`."""

    arguments: dict[str, Any]

    def run(self, out: Path, sample: SampleParams = SAMPLE) -> Path:
        sample_run(**self.arguments, sample=sample, out=out)
        return out


@pytest.fixture
def ready(finished_run: Callable[..., Any]) -> Ready:
    real = finished_run(class_names=NAMES, clips_per_class=4)
    params = load_params(Path(__file__).parents[3] / "params.yaml")
    kl_side = real.clip.frame_size_px // params.kl_latent.factor
    torch.manual_seed(0)
    autoencoder = MultiModalAutoencoder(params.autoencoder, Shapes(params.kl_latent.channels, kl_side, real.clip.num_frames, NAMES))
    audio, video = ((e.latent_channels, kl_side // e.factor, kl_side // e.factor)
                    for e in (params.autoencoder.audio_encoder, params.autoencoder.video_encoder))
    statistics = LatentStatistics(audio, video, (0.0,) * audio[0], (1.0,) * audio[0], (0.0,) * video[0], (1.0,) * video[0], NAMES)
    dit = replace(params.dit, hidden_size=32, depth=1, num_heads=2, audio_patch_size=1, video_patch_size=1, context="class")
    folders = {name: real.root / name for name in ("klvae", "autoencoder", "latents", "dit")}
    with stage_output(folders["klvae"], params={}, inputs={}, code=Path(__file__).parent) as work:
        build_scratch(params.klvae, params.kl_latent).save_pretrained(work.folder)
    with stage_output(folders["autoencoder"], params={}, inputs={}, code=Path(__file__).parent) as work:
        save_autoencoder(work.folder, autoencoder)
    with stage_output(folders["dit"], params={}, inputs={}, code=Path(__file__).parent) as work:
        save_dit(work.folder, make_network(dit, statistics), statistics)
    random = np.random.default_rng(0)
    with stage_output(folders["latents"], params={}, inputs={}, code=Path(__file__).parent) as work:
        samples = []
        for image in read_audio_images(real.audio_images):
            meta = {name: image["meta"][name] for name in ("clip_id", "start_frame", "class_id", "split")}
            z_a, z_v = (random.standard_normal((2 * c, h, w)).astype(np.float16) for c, h, w in (audio, video))
            samples.append(latent_sample(z_a, z_v, meta))
        write_shards(work, samples)
        write_statistics(work.folder, statistics)
    return Ready({"seed": 3, "compute": ComputeParams(device="cpu", num_threads=1, num_workers=1, dask_scheduler=None),
                  "clip": real.clip, "audio": real.audio, "vocoder": replace(params.vocoder, iterations=2), **folders,
                  "decode": real.decode, "audio_images": real.audio_images})


def test_every_task_is_written_seen_and_heard(ready: Ready, tmp_path: Path) -> None:
    out = ready.run(tmp_path / "sample")
    samples = read_samples(out)
    assert samples["task"].value_counts().to_dict() == {"svg": 3, "a2v": 3, "v2a": 3, "reconstruction": 3}
    clip, audio = ready.arguments["clip"], ready.arguments["audio"]
    decoded = {row["key"]: row for row in read_decoded(ready.arguments["decode"], "test")}
    images = {row["key"]: gray_array(row["gray"]) for row in read_audio_images(ready.arguments["audio_images"], "test")}
    for sample in samples.itertuples():
        assert (out / sample.mp4).stat().st_size > 500
        frames, waveform, gray = read_lossless(out / sample.lossless)
        assert frames.shape == (clip.num_frames, clip.frame_size_px, clip.frame_size_px, 3)
        assert waveform.shape == (round(clip.window_sec * audio.sample_rate_hz),)
        if sample.task == "svg":
            assert (sample.condition_clip_id, sample.condition_start_frame) == ("", -1)
            continue
        real, start = decoded[sample.condition_clip_id], sample.condition_start_frame
        assert sample.class_name == real["meta"]["class_name"]
        shows_real = np.array_equal(frames, real["frames"][start : start + clip.num_frames])
        first = round(start / clip.fps * audio.sample_rate_hz)
        sounds_real = np.array_equal(waveform, real["waveform"][first : first + len(waveform)])
        assert (shows_real, sounds_real) == (sample.task == "v2a", sample.task == "a2v")
        assert np.array_equal(gray, images[f"{sample.condition_clip_id}-{start:04d}"]) == (sample.task == "a2v")
    assert samples[samples["task"] == "svg"]["class_name"].tolist() == ["across", "down", "across"]


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(ready: Ready, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ready.run(tmp_path / "whole" / "sample")
    module = importlib.import_module("stages.sample.run")  # the package's `run` is the function
    write, written = module.write_mp4, []

    def killed_at_the_sixth(path: Path, *rest: Any) -> None:
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(path)
        write(path, *rest)

    monkeypatch.setattr(module, "write_mp4", killed_at_the_sixth)
    with pytest.raises(KeyboardInterrupt):
        ready.run(tmp_path / "again" / "sample")
    assert not (tmp_path / "again" / "sample").exists()
    resumed: list[str] = []
    monkeypatch.setattr(module, "write_mp4", lambda path, *rest: (resumed.append(path.name), write(path, *rest)))
    again = ready.run(tmp_path / "again" / "sample")
    assert "svg-0000.mp4" not in resumed and "a2v-0002.mp4" in resumed
    files = sorted(path.relative_to(whole) for path in whole.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert all((whole / name).read_bytes() == (again / name).read_bytes() for name in files)


def test_stages_of_different_runs_are_told_apart(ready: Ready, tmp_path: Path) -> None:
    latents = tmp_path / "other" / "latents"
    statistics = LatentStatistics((1, 1, 1), (1, 1, 1), (0.0,), (1.0,), (0.0,), (1.0,), NAMES)
    with stage_output(latents, params={}, inputs={}, code=Path(__file__).parent) as work:
        meta = {"clip_id": "train-only", "start_frame": 0, "class_id": 0, "split": "train"}
        write_shards(work, [latent_sample(np.zeros((2, 1, 1), np.float16), np.zeros((2, 1, 1), np.float16), meta)])
        write_statistics(work.folder, statistics)
    with pytest.raises(DataError, match="no windows of the test split"):
        replace(ready, arguments={**ready.arguments, "latents": latents}).run(tmp_path / "sample")
