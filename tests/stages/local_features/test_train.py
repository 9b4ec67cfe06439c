"""The local networks learn classes, or views where there is one class, and corruptions; nothing depends on the batch."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.contracts.outputs import Work
from pipeline.contracts.window_sets import RealWindows, Window, sources_of, spread
from pipeline.errors import DataError, WeightsError
from pipeline.params import ComputeParams, LocalFeaturesParams, TrainParams
from stages.evaluate.frechet import frechet_distance
from stages.local_features import LocalNetwork, Modality, corruptions, load, run
from stages.local_features.networks import log_mel, small_frames
from stages.local_features.train import TrainingInputs, load_training_inputs, train_network
from stages.local_features.views import audio_view, video_view

TRAIN = TrainParams(steps=120, batch_size=12, grad_accumulation=1, learning_rate=4e-3, lr_schedule="cosine", warmup_steps=5,
                    weight_decay=0.01, grad_clip=1.0, ema_decay=0.0, precision="fp32", log_every=50, checkpoint_every=120,
                    gradient_checkpointing=False, compile=False, channels_last=False)
CPU = ComputeParams(device="cpu", num_threads=1, num_workers=1, dask_scheduler=None)


@torch.no_grad()
def features_of(network: LocalNetwork, windows: list[Window], rate: int) -> np.ndarray:
    frames, waveforms = (torch.from_numpy(np.stack([getattr(window, name) for window in windows])) for name in ("frames", "waveform"))
    return network.features(network.inputs(frames, waveforms, rate)).double().numpy()


def trained(modality: Modality, finished, num_classes: int, room: Path, steps: int = 120):  # type: ignore[no-untyped-def]
    """(network, held-out windows)."""
    train, test = (RealWindows(finished.decode, split, spread(sources_of(finished.decode, split), 72, finished.clip, 1), finished.clip,
                               finished.audio) for split in ("train", "test"))
    work = Work(folder=room / "out", scratch=room / "scratch", counts={})
    for folder in (work.folder, work.scratch):
        folder.mkdir()
    inputs = load_training_inputs(train, finished.audio.sample_rate_hz)
    return train_network(modality, inputs, num_classes, dataclasses.replace(TRAIN, steps=steps), seed=1, compute=CPU, work=work), test


@pytest.mark.parametrize("modality", ["video", "audio"])
def test_learns_two_classes_and_sees_every_corruption(modality: Modality, finished_run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    finished = finished_run(clips_per_class=24, tasks=("svg",))
    network, test = trained(modality, finished, 2, tmp_path)
    features = features_of(network, list(test), finished.audio.sample_rate_hz)
    assert network.to_class is not None
    found = network.to_class(torch.from_numpy(features).float()).argmax(1).numpy()
    assert (found == np.array(test.class_ids)).mean() > 0.95
    assert np.allclose(features_of(network, [test[5]], finished.audio.sample_rate_hz), features[5:6], atol=1e-4)
    check_corruptions(modality, network, list(test), features, finished.audio.sample_rate_hz, except_for=("shuffled",))


@pytest.mark.parametrize("modality", ["video", "audio"])
def test_with_one_class_the_features_learn_which_views_are_of_one_clip(modality: Modality, tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    patterns = torch.from_numpy(random.uniform(0, 255, (24, 3, 4, 4)).astype(np.float32))
    frames = torch.nn.functional.interpolate(patterns, size=(32, 32)).permute(0, 2, 3, 1).to(torch.uint8)[:, None].expand(-1, 8, -1, -1, -1)
    mels = torch.nn.functional.interpolate(torch.from_numpy(random.normal(size=(24, 1, 8, 6)).astype(np.float32)), size=(64, 50))[:, 0]
    inputs = TrainingInputs(frames.contiguous(), mels, np.zeros(24, np.int64))
    work = Work(folder=tmp_path / "out", scratch=tmp_path / "scratch", counts={})
    for folder in (work.folder, work.scratch):
        folder.mkdir()
    network = train_network(modality, inputs, 1, dataclasses.replace(TRAIN, steps=60), seed=1, compute=CPU, work=work)
    assert network.to_class is None and network.to_contrast is not None
    items, view = (inputs.video, video_view) if modality == "video" else (inputs.audio, audio_view)
    a, b = (torch.nn.functional.normalize(network.to_contrast(network.features(torch.stack([view(item, random) for item in items]))))
            for _ in range(2))
    assert ((a @ b.T).argmax(1) == torch.arange(24)).float().mean() > 0.5, "chance is 1 in 24"


def check_corruptions(modality: Modality, network: LocalNetwork, windows: list[Window], features: np.ndarray, rate: int,
                      except_for: tuple[str, ...]) -> None:
    """The first half of the windows stands in for samples, the others are the reference."""
    half = len(windows) // 2
    frames, waveforms = (torch.from_numpy(np.stack([getattr(window, name) for window in windows])) for name in ("frames", "waveform"))
    inputs = network.inputs(frames, waveforms, rate)
    sees = modality == "video"
    corrupt, kinds = (corruptions.corrupt_video, corruptions.VIDEO) if sees else (corruptions.corrupt_audio, corruptions.AUDIO)
    floor = frechet_distance(features[:half], features[half:])
    for kind in [kind for kind in kinds if kind not in ("none", *except_for)]:
        random = np.random.default_rng(0)
        wrong = torch.stack([corrupt(inputs[i], inputs[(7 * i + 1) % len(windows)], kind, random) for i in range(half)])
        assert frechet_distance(network.features(wrong).detach().numpy(), features[half:]) > 1.5 * floor, kind


@pytest.mark.parametrize("view", [video_view, audio_view])
def test_views_keep_the_form_and_differ(view) -> None:  # type: ignore[no-untyped-def]
    random = np.random.default_rng(0)
    shape = (6, 16, 20, 3) if view is video_view else (64, 50)
    item = torch.from_numpy(random.integers(0, 256, shape, dtype=np.uint8)) if view is video_view else torch.randn(shape)
    before = item.clone()
    a, b = view(item, random), view(item, random)
    assert a.shape == item.shape and a.dtype == item.dtype and not torch.equal(a, b)
    assert torch.equal(item, before), "the clip itself stays as it is"


def test_what_the_stage_writes_is_what_load_gives(finished_run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    finished = finished_run(tasks=("svg",))
    networks = load(finished.local_features)
    assert set(networks) == {"video", "audio"} and networks["video"].num_classes == 2
    again = {"seed": 7, "clip": finished.clip, "audio": finished.audio, "compute": CPU, "decode": finished.decode,
             "inventory": finished.inventory}
    few = LocalFeaturesParams(max_windows=8, train=dataclasses.replace(TRAIN, steps=3, warmup_steps=1, checkpoint_every=3))
    for name in ("one", "two"):
        run(**again, local_features=few, out=tmp_path / name / "local_features")
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) >= 6 and all((tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes() for path in files)
    (tmp_path / "one/local_features/video.safetensors").write_bytes((tmp_path / "one/local_features/audio.safetensors").read_bytes())
    with pytest.raises(WeightsError, match="run: mmldm check, then: dvc repro"):
        load(tmp_path / "one/local_features")
    with pytest.raises(DataError, match="run: dvc repro"):
        load(tmp_path / "three/local_features")


@pytest.mark.parametrize("kind", corruptions.VIDEO[1:])
def test_video_corruptions_change_the_picture_and_keep_its_form(kind: str) -> None:
    random = np.random.default_rng(0)
    frames, other = (torch.from_numpy(random.integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)) for _ in range(2))
    wrong = corruptions.corrupt_video(frames, other, kind, random)
    assert wrong.shape == frames.shape and wrong.dtype == torch.uint8 and not torch.equal(wrong, frames)
    assert torch.equal(corruptions.corrupt_video(frames, other, "none", random), frames)


@pytest.mark.parametrize("kind", corruptions.AUDIO[1:])
def test_audio_corruptions_change_the_sound_and_keep_its_form(kind: str) -> None:
    random = np.random.default_rng(0)
    mel, other = (torch.from_numpy(random.normal(size=(64, 101)).astype(np.float32)) for _ in range(2))
    wrong = corruptions.corrupt_audio(mel, other, kind, random)
    assert wrong.shape == mel.shape and wrong.dtype == torch.float32 and wrong.isfinite().all() and not torch.equal(wrong, mel)


def test_large_frames_become_averages_and_small_ones_stay() -> None:
    frames = torch.zeros(1, 2, 128, 128, 3, dtype=torch.uint8)
    frames[:, :, ::2] = 200
    assert torch.equal(small_frames(frames), torch.full((1, 2, 64, 64, 3), 100, dtype=torch.uint8))
    assert small_frames(frames[:, :, :32, :32]).shape == (1, 2, 32, 32, 3)


def test_a_tone_lights_the_band_of_its_pitch() -> None:
    time = torch.arange(16000) / 16000
    mels = [log_mel((torch.sin(2 * torch.pi * hz * time) * 20000).to(torch.int16)[None], 16000)[0].mean(1) for hz in (400.0, 3000.0)]
    assert int(mels[0].argmax()) < int(mels[1].argmax())
    assert all(mel.isfinite().all() for mel in mels) and log_mel(torch.zeros(1, 16000, dtype=torch.int16), 16000).isfinite().all()
