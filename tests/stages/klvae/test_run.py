"""The stage in its three modes: pytest tests/stages/klvae/test_run.py"""

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.errors import ParamsError, TrainingError, WeightsError
from pipeline.params import ComputeParams, KLVAEParams, PretrainedParams
from stages.klvae import load, run
from stages.klvae.images import TrainingImages
from tests.stages.klvae.small import LATENT, settings, small_kl, small_tiny

COMPUTE = ComputeParams(device="cpu", num_threads=1, num_workers=1, dask_scheduler=None)


@pytest.fixture()
def start(finished_run, tmp_path: Path) -> Callable[..., dict[str, object]]:
    """Factory: `start(params, "name")` runs the stage into tmp_path/name/klvae."""
    finished = finished_run(clips_per_class=4)

    def start(params: KLVAEParams, name: str = "run") -> dict[str, object]:
        return dict(run(seed=7, compute=COMPUTE, clip=finished.clip, kl_latent=LATENT, klvae=params, decode=finished.decode,
                        audio_images=finished.audio_images, out=tmp_path / name / "klvae"))

    return start


def metrics(folder: Path) -> dict[str, float]:
    return json.loads((folder / "metrics.json").read_text())


def test_from_scratch_writes_network_metrics_curves_and_sheet_and_repeats_to_the_byte(start, tmp_path) -> None:
    summaries = [start(settings(), name) for name in ("first", "second")]
    out = tmp_path / "first/klvae"
    for path in sorted(out.iterdir()):
        assert path.read_bytes() == (tmp_path / "second/klvae" / path.name).read_bytes(), path.name
    found = metrics(out)
    assert {"psnr_frames", "ssim_frames", "psnr_audio_images", "ssim_audio_images", "parameters", "gflop_decode"} <= set(found)
    assert found["latent_channels"] == 4 and found["latent_side"] == 8
    assert summaries[0]["latent"] == "4 x 8 x 8" and "GFLOP" in str(summaries[0]["an image"])
    with Image.open(out / "reconstructions.png") as page:
        assert np.asarray(page).std() > 0 and page.height == 4 * (32 + 4)
    assert load(out).scale != 1.0, "calibrated"
    assert found["lpips_loss_weight"] == 0.0, "the weights of LPIPS are not at hand"


@pytest.mark.parametrize("build", [small_kl, small_tiny])
def test_pretrained_is_taken_as_it_is(build, start, saved, tmp_path) -> None:
    network = build()
    start(settings("pretrained", source=saved(network)))
    taken = load(tmp_path / "run/klvae").autoencoder
    assert all(torch.equal(taken.state_dict()[name], value) for name, value in network.state_dict().items())
    assert taken.config["scaling_factor"] == network.config["scaling_factor"]
    assert (tmp_path / "run/klvae/curves.csv").read_text() == "step\n"
    assert str(tmp_path) not in (tmp_path / "run/klvae/config.json").read_text(), "where the weights lay is no part of the output"


@pytest.mark.parametrize("build", [small_kl, small_tiny])
def test_finetuning_leaves_every_byte_of_the_encoder_and_improves_the_decoder(build, start, saved, tmp_path) -> None:
    network = build()
    start(settings("finetune_decoder", source=saved(network), adversarial=0.5, start_step=14, steps=16, ema_decay=0.0,
                   learning_rate=5e-3, checkpoint_every=16))
    out = tmp_path / "run/klvae"
    after = load(out).autoencoder.state_dict()
    for name, value in network.state_dict().items():
        trained = name.startswith(("decoder.", "post_quant_conv."))
        assert trained or value.numpy().tobytes() == after[name].numpy().tobytes(), name
    assert any(not torch.equal(value, after[name]) for name, value in network.state_dict().items() if name.startswith("decoder."))
    found = metrics(out)
    assert found["psnr_frames"] > found["before_psnr_frames"] + 1
    with Image.open(out / "reconstructions.png") as page:
        assert page.height == 6 * (32 + 4), "real, before and after"


def test_lpips_takes_part_when_its_weights_are_at_hand(start, saved, vgg16, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys.modules[run.__module__], "EVALUATED", 8)
    params = settings("finetune_decoder", source=saved(small_kl()), lpips=vgg16, steps=2)
    start(params)
    found = metrics(tmp_path / "run/klvae")
    assert found["lpips_loss_weight"] == 1.0 and {"lpips_frames", "lpips_audio_images", "before_lpips_frames"} <= set(found)
    rows = list(csv.DictReader((tmp_path / "run/klvae/curves.csv").open()))
    assert all(float(row["klvae/lpips"]) > 0 for row in rows) and float(rows[1]["val/psnr_frames"]) > 0


def test_a_killed_finetuning_ends_as_an_undisturbed_one(start, saved, tmp_path, monkeypatch) -> None:
    params = settings("finetune_decoder", source=saved(small_kl()), adversarial=0.5, start_step=1, steps=5, checkpoint_every=2)
    start(params, "whole")
    batch, drawn = TrainingImages.batch, []

    def until_the_power_fails(self: TrainingImages, size: int, seed: int, **shared: bool) -> torch.Tensor:
        drawn.append(size)
        if len(drawn) == 5:  # the first is the evaluation's: step 3, after the checkpoint at 2
            raise KeyboardInterrupt
        return batch(self, size, seed, **shared)

    monkeypatch.setattr(TrainingImages, "batch", until_the_power_fails)
    with pytest.raises(KeyboardInterrupt):
        start(params, "cut")
    assert not (tmp_path / "cut/klvae").exists()
    again: list[int] = []
    monkeypatch.setattr(TrainingImages, "batch", lambda self, size, seed, **shared: again.append(size) or batch(self, size, seed))
    start(params, "cut")
    assert len(again) == 1 + 3, "the evaluation's images, and the batches of steps 2 to 4"
    for path in sorted((tmp_path / "whole/klvae").iterdir()):
        assert path.read_bytes() == (tmp_path / "cut/klvae" / path.name).read_bytes(), path.name
    header = (tmp_path / "cut/klvae/curves.csv").read_text().splitlines()[0]
    assert "discriminator/loss" in header and "klvae/adaptive_weight" in header


def test_scratch_can_be_trained_against_the_discriminator_too(start, tmp_path) -> None:
    start(settings(adversarial=0.5, start_step=2))
    rows = list(csv.DictReader((tmp_path / "run/klvae/curves.csv").open()))
    assert [bool(row["klvae/adversarial"]) for row in rows] == [False, False, True, True]


def test_nothing_is_overwritten_when_something_is_wrong(start, saved, tmp_path) -> None:
    folder = saved(small_kl())
    good = settings("pretrained", source=folder)
    start(good)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run/klvae").iterdir()}
    with pytest.raises(TrainingError, match=r"klvae's loss is not finite at step \d.*Lower the learning_rate of klvae") as caught:
        start(settings(learning_rate=1e30))
    assert "\n" not in str(caught.value)
    with pytest.raises(WeightsError, match=r"klvae.pretrained.sha256 is ffffffffffff"):
        start(replace(good, pretrained=replace(good.pretrained, sha256="f" * 64)))
    with pytest.raises(WeightsError, match=r"klvae.lpips.source is .*neither a folder here nor a hub id"):
        start(replace(good, lpips=PretrainedParams(source="./nowhere/at/all", revision=None, subfolder=None, sha256=None)))
    with pytest.raises(ParamsError, match="kl_latent has channels 4 and factor 4, expected 8 and 4"):
        other = small_kl().from_config({**small_kl().config, "latent_channels": 8})
        start(settings("pretrained", source=saved(other, "other")))
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "run/klvae").iterdir()}


@pytest.mark.parametrize(("change", "said"), [
    ({"batch_size": 1}, r"klvae.audio_share is 0.5, expected a share that leaves both audio images and frames in a batch of 1"),
    ({"adversarial": 0.5, "start_step": 4}, r"klvae.discriminator.start_step is 4, expected less than klvae.train.steps \(4\)"),
])
def test_settings_that_cannot_work_are_named(change, said) -> None:
    with pytest.raises(ParamsError, match=said):
        settings(**change)
