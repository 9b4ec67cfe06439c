"""The sample stage over small untrained networks: everything that it promises but beauty.

    pytest tests/stages/sample/test_run.py
"""

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from pipeline.contracts.audio_image_shards import gray_array, read_audio_images
from pipeline.contracts.decoded import read_decoded
from pipeline.contracts.latents import LatentStatistics, latent_sample, write_statistics
from pipeline.contracts.outputs import stage_output
from pipeline.contracts.samples import read_lossless, read_samples
from pipeline.errors import DataError
from pipeline.params import ComputeParams, SampleParams, Task, load_params
from stages.autoencoder.model import MultiModalAutoencoder, Shapes
from stages.autoencoder.model import save as save_autoencoder
from stages.dit.checkpoint import make_network
from stages.dit.checkpoint import save as save_dit
from stages.klvae.model import build_scratch
from stages.sample import run as sample_run
from tests.shards import write_shards

NAMES = ("across", "down")
SAMPLE = SampleParams(tasks=("svg", "a2v", "v2a"), num_samples=3, num_long=2, long_windows=3, sampler="ddim", steps=2, guidance_scale=2.0,
                      guidance_interval=(0.0, 1.0), guidance_rescale=0.0, batch_size=2)


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
    dit = replace(params.dit, hidden_size=32, depth=1, num_heads=2, audio_patch_size=1, video_patch_size=1, context="class",
                  continuation_share=0.2)
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


def test_tasks_of_one_modality_stills_and_continuations(ready: Ready, tmp_path: Path) -> None:
    tasks: tuple[Task, ...] = ("i2a", "v", "a", "audio_continuation", "video_continuation", "long")
    out = ready.run(tmp_path / "sample", replace(SAMPLE, tasks=tasks, num_samples=2))
    samples = read_samples(out).set_index("sample_id")
    assert samples["task"].value_counts().to_dict() == {**dict.fromkeys(tasks, 2), "reconstruction": 2}
    clip, audio = ready.arguments["clip"], ready.arguments["audio"]
    decoded = {row["key"]: row for row in read_decoded(ready.arguments["decode"], "test")}
    shown = {name: read_lossless(out / row.lossless) for name, row in samples.iterrows()}
    frames, waveform, _ = shown["i2a-0000"]
    given = samples.loc["i2a-0000"]
    assert (frames == decoded[given.condition_clip_id]["frames"][given.condition_start_frame]).all() and waveform.any()
    assert shown["v-0000"][0].any() and not shown["v-0000"][1].any()
    assert not shown["a-0000"][0].any() and shown["a-0000"][1].any()
    for name in ("audio_continuation-0001", "video_continuation-0001"):
        real = decoded[samples.loc[name].condition_clip_id]["frames"]
        assert shown[name][0].shape == real[: clip.num_frames].shape and not any(np.array_equal(shown[name][0][0], frame) for frame in real)
    frames, waveform, gray = shown["long-0001"]
    assert len(frames) == 3 * clip.num_frames and len(waveform) == 3 * round(clip.window_sec * audio.sample_rate_hz)
    assert gray.shape[1] == 3 * 62
    with av.open(str(out / samples.loc["long-0001"].mp4)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3 * clip.num_frames
    seams = json.loads((out / "metrics.json").read_text())
    assert list(seams) == ["audio_continuation", "video_continuation", "long"]
    steps = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean(axis=(1, 2, 3)) / 255
    first = np.abs(np.diff(shown["long-0000"][0].astype(np.float32), axis=0)).mean(axis=(1, 2, 3)) / 255
    assert seams["long"]["frame_step_joins"] == pytest.approx(np.mean([steps[[9, 19]], first[[9, 19]]]), abs=1e-4)


def test_the_first_window_of_a_long_video_is_the_svg_of_its_seed_and_the_length_changes_nothing(ready: Ready, tmp_path: Path) -> None:
    long = replace(SAMPLE, tasks=("long",), num_samples=1)
    three = ready.run(tmp_path / "three" / "sample", long)
    two = ready.run(tmp_path / "two" / "sample", replace(long, long_windows=2, batch_size=1))
    for name in ("long-0000", "long-0001"):
        frames, waveform, _ = read_lossless(three / f"lossless/{name}.npz")
        shorter, sound, _ = read_lossless(two / f"lossless/{name}.npz")
        assert np.abs(frames[: len(shorter)].astype(int) - shorter).max() <= 2  # another batch size, rounded otherwise
        heard = slice(len(sound) - 1200)
        assert np.abs(waveform[heard].astype(int) - sound[heard]).mean() < 20


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
