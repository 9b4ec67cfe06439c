"""The local extractors learn classes and corruptions, and nothing depends on the batch."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.contracts.outputs import Work
from pipeline.params import ComputeParams, TrainParams
from stages.evaluate import corruptions
from stages.evaluate.classifiers import log_mel, small_frames
from stages.evaluate.extractors import LocalExtractor, Modality, classifier_inputs, features_of
from stages.evaluate.frechet import frechet_distance
from stages.evaluate.train_classifiers import load_training_inputs, train_classifier
from stages.evaluate.windows import RealWindows, sources_of, spread

TRAIN = TrainParams(steps=150, batch_size=12, grad_accumulation=1, learning_rate=4e-3, lr_schedule="cosine", warmup_steps=5,
                    weight_decay=0.01, grad_clip=1.0, ema_decay=0.0, precision="fp32", log_every=50, checkpoint_every=150,
                    gradient_checkpointing=False, compile=False, channels_last=False)


@pytest.mark.parametrize("modality", ["video", "audio"])
def test_learns_two_classes_and_sees_every_corruption(modality: Modality, finished_run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    run = finished_run(clips_per_class=24, tasks=("svg",))
    train, test = (RealWindows(run.decode, split, spread(sources_of(run.decode, split), 72, run.clip, 1), run.clip, run.audio)
                   for split in ("train", "test"))
    work = Work(folder=tmp_path / "out", scratch=tmp_path / "scratch", counts={})
    for folder in (work.folder, work.scratch):
        folder.mkdir()
    classifier = train_classifier(modality, load_training_inputs(train, run.audio.sample_rate_hz), 2, TRAIN, seed=1,
                                  compute=ComputeParams(device="cpu", num_threads=1, num_workers=1, dask_scheduler=None), work=work)
    extractor = LocalExtractor(classifier, modality, run.audio.sample_rate_hz)
    features = features_of(extractor, test)
    assert (extractor.recognise(features) == np.array([window.class_id for window in test])).mean() > 0.95
    assert np.allclose(features_of(extractor, [test[5]]), features[5:6], atol=1e-4)

    # The first 36 windows stand in for samples, the others are the reference.
    inputs = classifier_inputs(list(test), modality, run.audio.sample_rate_hz)
    corrupt, kinds = (corruptions.corrupt_audio, corruptions.AUDIO)
    if modality == "video":
        corrupt, kinds = (corruptions.corrupt_video, corruptions.VIDEO)
    floor = frechet_distance(features[:36], features[36:])
    for kind in [kind for kind in kinds if kind not in ("none", "shuffled")]:
        random = np.random.default_rng(0)
        wrong = torch.stack([corrupt(inputs[i], inputs[(7 * i + 1) % 72], kind, random) for i in range(36)])
        assert frechet_distance(classifier.features(wrong).detach().numpy(), features[36:]) > 1.5 * floor, kind


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
