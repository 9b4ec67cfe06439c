"""Windows of moments by index, and the batch of a step."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipeline.errors import DataError
from stages.autoencoder.windows import MomentWindows, class_names


def test_a_window_is_its_frames_and_its_own_audio_image(encoded: Callable[..., Path]) -> None:
    windows = MomentWindows(encoded(), "train", 16)
    assert len(windows) == 6 and windows.latent_shape == (4, 4)
    batch = windows.batch([0, 1])  # one clip, starts 0 and 4
    assert batch["video"].shape == (2, 16, 8, 4, 4) and batch["audio"].shape == (2, 8, 4, 4) and batch["video"].dtype == torch.float16
    assert torch.equal(batch["video"][0, 4:], batch["video"][1, :12])
    assert not torch.equal(batch["audio"][0], batch["audio"][1])
    assert windows.meta(1) == {"clip_id": "0000000000000000_000000", "start_frame": 4, "class_id": 0, "split": "train"}


def test_a_step_has_the_same_batch_whatever_was_read_before_and_however_it_is_split(encoded: Callable[..., Path]) -> None:
    folder = encoded()
    whole = MomentWindows(folder, "train", 16).training_batch(5, 8, seed=1)
    again = MomentWindows(folder, "train", 16)
    again.training_batch(4, 8, seed=1)
    assert torch.equal(again.training_batch(5, 8, seed=1)["video"], whole["video"])
    assert torch.equal(again.training_batch(5, 4, seed=1)["video"], whole["video"][:4])
    assert not torch.equal(again.training_batch(6, 8, seed=1)["video"], whole["video"])


def test_half_of_the_training_windows_are_mirrored_and_nothing_else_is(encoded: Callable[..., Path]) -> None:
    folder = encoded()
    plain = MomentWindows(folder, "train", 16).training_batch(0, 400, seed=1)
    half = MomentWindows(folder, "train", 16, flip_share=0.5)
    found = half.training_batch(0, 400, seed=1)
    assert torch.equal(found["audio"], plain["audio"]) and torch.equal(found["class_id"], plain["class_id"])
    mirrored = [torch.equal(one, -other) for one, other in zip(found["video"], plain["video"], strict=True)]
    assert all(flip != torch.equal(one, other) for flip, one, other in zip(mirrored, found["video"], plain["video"], strict=True))
    assert 160 < sum(mirrored) < 240, "whole windows, about one in two"
    assert torch.equal(half.training_batch(0, 20, seed=1)["video"], found["video"][:20]), "an item's coin is its own"
    every = MomentWindows(folder, "train", 16, flip_share=1.0)
    assert torch.equal(every.training_batch(0, 50, seed=1)["video"], -plain["video"][:50])
    assert torch.equal(every.batch([0, 1])["video"], MomentWindows(folder, "train", 16).batch([0, 1])["video"]), "only training draws flips"


def test_flips_that_were_not_encoded_are_one_line(encoded: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=r"has no field video_flipped.npy.*run: dvc repro encode"):
        MomentWindows(encoded(flips=False), "train", 16, flip_share=0.5)


def test_clips_beyond_the_cache_are_read_each_time(encoded: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = encoded()
    cached = MomentWindows(folder, None, 16).batch([3])["video"]
    monkeypatch.setattr("stages.autoencoder.windows.CACHE_BYTES", 0)
    assert torch.equal(MomentWindows(folder, None, 16).batch([3])["video"], cached)


def test_shards_of_shorter_clips_are_named(encoded: Callable[..., Path]) -> None:
    windows = MomentWindows(encoded(num_frames=18), "train", 16)
    with pytest.raises(DataError, match=r"has 18 frames, its window at frame 4 needs 16.*dvc repro encode"):
        windows.batch([1])


def test_an_empty_split_is_one_line(encoded: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="has no validation window"):
        MomentWindows(encoded(), "validation", 16)


def test_class_names_come_by_id(encoded: Callable[..., Path]) -> None:
    assert class_names(encoded(classes=2)) == ("class 0", "class 1")
