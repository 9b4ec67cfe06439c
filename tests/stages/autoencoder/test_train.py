"""The stage on six clips: what it writes, twice the same."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from PIL import Image

from pipeline.errors import DataError, TrainingError, WeightsError
from pipeline.params import AutoencoderParams, Params
from stages.autoencoder import load, run
from stages.autoencoder.reconstruction import retrieval_batches


def start(params: Params, encode: Path, klvae: Path, out: Path, **changes: object) -> None:
    sections = {"clip": params.clip, "kl_latent": params.kl_latent, "autoencoder": params.autoencoder, **changes}
    compute = replace(params.compute, device="cpu")
    run(seed=params.seed, compute=compute, encode=encode, klvae=klvae, out=out, **sections)  # type: ignore[arg-type]


def test_the_stage_writes_network_metrics_and_curves_and_repeats_to_the_byte(params: Params, encoded: Callable[..., Path], klvae: Path,
                                                                             tmp_path: Path) -> None:
    encode = encoded()
    hashes = []
    for name in ("first", "second"):
        start(params, encode, klvae, tmp_path / name)
        files = sorted(p for p in (tmp_path / name).iterdir() if p.name != "_SUCCESS.json")
        hashes.append({p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files})
    assert hashes[0] == hashes[1]
    assert set(hashes[0]) == {"autoencoder.safetensors", "config.json", "curves.csv", "metrics.json", "train.jsonl", "reconstructions.png"}
    metrics = json.loads((tmp_path / "first/metrics.json").read_text())
    assert {"mse_audio", "mse_video", "snr_video_db", "class_accuracy", "retrieval_top1", "retrieval_chance", "kl_audio", "psnr_frames",
            "psnr_between_keys", "psnr_nearest_key", "psnr_audio", "parameters", "gflop_encode", "gflop_decode"} <= set(metrics)
    with Image.open(tmp_path / "first/reconstructions.png") as page:
        assert page.height == 2 * 6 * (32 + 4), "two rows for each held-out window"
    columns = (tmp_path / "first/curves.csv").read_text().splitlines()[0].split(",")
    assert {"generator/loss", "generator/adversarial", "discriminator/loss", "val/mse_video"} <= set(columns)
    moments = load(tmp_path / "first").encode(torch.randn(1, 16, 4, 4, 4), torch.randn(1, 4, 4, 4))
    assert moments[0].shape == (1, 8, 2, 2)


def test_one_class_and_no_heads_work(params: Params, encoded: Callable[..., Path], klvae: Path, tmp_path: Path) -> None:
    ae = params.autoencoder
    bare = replace(ae, heads=replace(ae.heads, classification=False, contrastive=False), loss=replace(ae.loss, adversarial=0.0),
                   signal_decoder=replace(ae.signal_decoder, class_embedding=False), train=replace(ae.train, steps=1))
    start(params, encoded(classes=1), klvae, tmp_path / "out", autoencoder=bare)
    assert "class_accuracy" not in json.loads((tmp_path / "out/metrics.json").read_text())


def test_data_without_classes_teaches_both_heads_what_it_can(params: Params, encoded: Callable[..., Path], klvae: Path,
                                                             tmp_path: Path) -> None:
    """One class for all: there is nothing to tell apart and the head is always right; pairs are still told from other pairs."""
    ae = replace(params.autoencoder, train=replace(params.autoencoder.train, steps=1))
    start(params, encoded(classes=1), klvae, tmp_path / "out", autoencoder=ae)
    line = json.loads((tmp_path / "out/train.jsonl").read_text())
    assert line["generator/classification"] == 0 and line["generator/contrastive"] > 0 and line["val/class_accuracy"] == 1
    assert load(tmp_path / "out").class_names == ("class 0",)


def test_nothing_is_overwritten_when_something_is_wrong(params: Params, encoded: Callable[..., Path], klvae: Path, tmp_path: Path) -> None:
    ae, encode, out = replace(params.autoencoder, train=replace(params.autoencoder.train, steps=1)), encoded(), tmp_path / "out"
    start(params, encode, klvae, out, autoencoder=ae)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    unet = replace(ae.signal_decoder.pretrained, source=str(tmp_path))
    changes: list[tuple[AutoencoderParams, type[Exception], str]] = [
        (replace(ae, train=replace(ae.train, steps=6, learning_rate=1e30)), TrainingError,
         r"generator's (loss|grad).* not finite at step \d.*Lower the learning_rate of autoencoder"),
        (replace(ae, signal_decoder=replace(ae.signal_decoder, pretrained=unet)), WeightsError, "no readable config.json"),
        (replace(ae, signal_decoder=replace(ae.signal_decoder, pretrained=replace(unet, source="owner/name"))), WeightsError,
         r"autoencoder.signal_decoder.pretrained.revision is null; pin the commit of owner/name"),
    ]
    for changed, kind, said in changes:
        with pytest.raises(kind, match=said) as caught:
            start(params, encode, klvae, out, autoencoder=changed)
        assert "\n" not in str(caught.value)
        assert before == {path.name: path.read_bytes() for path in out.iterdir()}


def test_latents_of_another_shape_stop_before_the_training(params: Params, encoded: Callable[..., Path], klvae: Path,
                                                           tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"4 channels and side 4, params.yaml says 8 and 4.*dvc repro encode"):
        start(params, encoded(), klvae, tmp_path / "out", kl_latent=replace(params.kl_latent, channels=8))
    assert not (tmp_path / "out").exists()


def test_neighbouring_windows_never_compete_in_a_retrieval_batch() -> None:
    batches = retrieval_batches(576, 128)
    assert [len(batch) for batch in batches] == [32] * 4
    assert all(b - a >= 16 for batch in batches for a, b in pairwise(batch))
    assert sorted(i for batch in retrieval_batches(5, 128) for i in batch) == [0, 1, 2, 3, 4]
