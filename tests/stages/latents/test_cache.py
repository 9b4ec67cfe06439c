"""The stage: one posterior per window, of both splits; statistics of the training split alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.contracts.captions import read_captions
from pipeline.contracts.clips import write_clips
from pipeline.contracts.latents import read_latents, read_statistics
from pipeline.contracts.moments import moments_sample
from pipeline.contracts.outputs import stage_output
from pipeline.errors import DataError
from pipeline.params import Params, load_params
from stages.autoencoder.model import MultiModalAutoencoder, Shapes, save
from stages.latents import load_text_encoder, run
from tests.shards import write_shards

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent


@pytest.fixture
def inputs(tmp_path: Path) -> Callable[[Params], tuple[Path, Path]]:
    """An untrained autoencoder of the tiny preset and four clips of moments, two of them held out."""

    def make(params: Params) -> tuple[Path, Path]:
        torch.manual_seed(0)
        with stage_output(tmp_path / "autoencoder", params={}, inputs={}, code=HERE) as work:
            save(work.folder, MultiModalAutoencoder(params.autoencoder, Shapes(4, 4, 16, ("a", "b"))))
        random = np.random.default_rng(0)
        with stage_output(tmp_path / "encode", params={}, inputs={}, code=HERE) as work:
            write_shards(work, (
                moments_sample(*(random.standard_normal((n, 8, 4, 4)).astype(np.float16) for n in (20, 2)), {
                    "clip_id": f"{i:016x}_000000", "class_id": i % 2, "class_name": "ab"[i % 2],
                    "split": ("train", "test")[i // 2], "window_starts": [0, 4]})
                for i in range(4)))
        return tmp_path / "autoencoder", tmp_path / "encode"

    return make


def cache(params: Params, inputs: tuple[Path, Path], out: Path) -> Path:
    run(seed=params.seed, clip=params.clip, compute=replace(params.compute, device="cpu"), latents=params.latents,
        inventory=out.parent / "inventory", autoencoder=inputs[0], encode=inputs[1], out=out)
    return out


def write_inventory(folder: Path, captions: list[str]) -> None:
    """The four clips with a caption each."""
    row = {"source_path": "a/1.mp4", "source_sha256": "", "start_sec": 0.0, "duration_sec": 2.0, "fps": 10.0, "width_px": 32,
           "height_px": 32, "audio_rate_hz": 16000, "audio_channels": 1, "reader": "pyav", "audio_offset_sec": 0.0}
    with stage_output(folder, params={}, inputs={}, code=HERE) as work:
        write_clips(work.folder, [
            {**row, "clip_id": f"{i:016x}_000000", "class_id": i % 2, "class_name": ("a_dog", "b")[i % 2],
             "split": ("train", "test")[i // 2], "caption": caption} for i, caption in enumerate(captions)], [])


def test_every_window_is_cached_and_statistics_are_of_the_training_windows(inputs: Callable[[Params], tuple[Path, Path]],
                                                                           tmp_path: Path) -> None:
    params = load_params(ROOT / "tests/presets/tiny.yaml")
    out = cache(params, inputs(params), tmp_path / "latents")
    train, test = read_latents(out, "train"), read_latents(out, "test")
    assert len(train) == len(test) == 4
    assert train[1]["meta"] == {"clip_id": f"{0:016x}_000000", "start_frame": 4, "class_id": 0, "split": "train"}
    assert train[0]["audio"].shape == train[0]["video"].shape == (8, 2, 2) and train[0]["audio"].dtype == np.float16
    statistics = read_statistics(out)
    assert statistics.audio_shape == statistics.video_shape == (4, 2, 2) and statistics.class_names == ("a", "b")
    means = np.stack([sample["audio"][:4] for sample in train]).astype(np.float64).mean(axis=(0, 2, 3))
    assert np.allclose(statistics.audio_mean, means, atol=1e-4)


def test_batches_change_a_window_no_more_than_rounding(inputs: Callable[[Params], tuple[Path, Path]], tmp_path: Path) -> None:
    params = load_params(ROOT / "tests/presets/tiny.yaml")
    folders = inputs(params)
    first = cache(params, folders, tmp_path / "first")
    other = cache(replace(params, latents=replace(params.latents, batch_size=3)), folders, tmp_path / "second")
    for a, b in zip(read_latents(first), read_latents(other), strict=True):
        assert np.allclose(a["video"].astype(np.float32), b["video"].astype(np.float32), atol=0.02)
    again = cache(params, folders, tmp_path / "first")
    assert (again / "train-000000.tar").read_bytes() == (first / "train-000000.tar").read_bytes()


def test_every_caption_is_embedded_once_and_a_clip_without_one_is_told_by_its_class(
        inputs: Callable[[Params], tuple[Path, Path]], text_encoder: Path, tmp_path: Path) -> None:
    params = load_params(ROOT / "tests/presets/tiny.yaml")
    named = replace(params.latents.text_encoder, source=str(text_encoder))
    write_inventory(tmp_path / "inventory", ["rain", "rain", "", "wind on a roof"])
    out = cache(replace(params, latents=replace(params.latents, text_encoder=named)), inputs(params), tmp_path / "latents")
    captions = read_captions(out)
    assert captions.texts == {f"{i:016x}_000000": text for i, text in enumerate(["rain", "rain", "a dog", "wind on a roof"])}
    assert captions.embeddings.shape == (3, 12, 8) and read_statistics(out).text_shape == (12, 8)
    expected = load_text_encoder(named, torch.device("cpu")).embed(list(captions.texts.values()))
    assert np.allclose(captions.embedded(list(captions.texts)), expected, atol=2e-3)


def test_windows_of_another_length_are_refused(inputs: Callable[[Params], tuple[Path, Path]], tmp_path: Path) -> None:
    params = load_params(ROOT / "tests/presets/tiny.yaml")
    folders = inputs(params)
    with pytest.raises(DataError, match=r"windows of 16 frames, clip.num_frames is 8.*dvc repro autoencoder"):
        cache(replace(params, clip=replace(params.clip, num_frames=8)), folders, tmp_path / "latents")


@pytest.mark.parametrize(("shapes", "said"), [
    (Shapes(4, 4, 16, ("a", "b", "c")), "trained on 3 classes, .*encode has 2; run: dvc repro autoencoder"),
    (Shapes(4, 4, 16, ("a", "d")), "trained on 2 classes, .*encode has 2; class 1 was d and is b; run: dvc repro autoencoder"),
    (Shapes(4, 8, 16, ("a", "b")), "trained on latents of 4 channels and side 8, .*encode has 4 and 4; run: dvc repro autoencoder"),
])
def test_data_of_another_kind_than_the_autoencoder_knows_is_one_line_and_leaves_all_as_it_was(
        shapes: Shapes, said: str, inputs: Callable[[Params], tuple[Path, Path]], tmp_path: Path) -> None:
    params = load_params(ROOT / "tests/presets/tiny.yaml")
    folders = inputs(params)
    out = cache(params, folders, tmp_path / "latents")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with stage_output(folders[0], params={}, inputs={}, code=HERE) as work:
        save(work.folder, MultiModalAutoencoder(params.autoencoder, shapes))
    with pytest.raises(DataError, match=said):
        cache(params, folders, out)
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}
