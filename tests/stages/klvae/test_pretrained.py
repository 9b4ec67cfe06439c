"""Pretrained parts of the KL-VAE, and each way in which they cannot be used: pytest tests/stages/klvae/test_pretrained.py"""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from diffusers import UNet2DModel
from safetensors.torch import load_file, save_file

from pipeline.errors import ParamsError, WeightsError
from pipeline.params import KLLatentParams
from pipeline.pretrained import resolve
from stages.klvae.pretrained import load_perceptual, load_pretrained
from tests.stages.klvae.small import LATENT, NOTHING, settings, small_kl, small_tiny

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize("build", [small_kl, small_tiny])
def test_both_kinds_of_autoencoder_load_from_a_local_folder(build, saved) -> None:
    network = build()
    loaded = load_pretrained(settings("pretrained", source=saved(network)), LATENT).autoencoder
    assert type(loaded) is type(network)
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("build", "name"), [(small_kl, "AutoencoderKL"), (small_tiny, "AutoencoderTiny")])
def test_a_latent_of_another_shape_is_named_with_both_shapes(build, name, saved) -> None:
    folder = saved(build())
    with pytest.raises(ParamsError, match=rf"kl_latent has channels 8 and factor 4, expected 4 and 4, as {name} of .*vae has them; change"):
        load_pretrained(settings("pretrained", source=folder), KLLatentParams(factor=4, channels=8))
    with pytest.raises(ParamsError, match=r"channels 4 and factor 8, expected 4 and 4"):
        load_pretrained(settings("pretrained", source=folder), KLLatentParams(factor=8, channels=4))


def test_a_folder_of_something_else_is_named(saved, tmp_path) -> None:
    unet = UNet2DModel(block_out_channels=(8,), down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), norm_num_groups=4)
    with pytest.raises(WeightsError, match="holds UNet2DModel, expected AutoencoderKL or AutoencoderTiny"):
        load_pretrained(settings("pretrained", source=saved(unet, "unet")), LATENT)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"has no readable config.json, expected a diffusers folder .*set subfolder to vae"):
        load_pretrained(settings("pretrained", source=tmp_path / "empty"), LATENT)


def test_weights_that_do_not_fill_the_network_are_refused(saved) -> None:
    folder = saved(small_kl())
    weights, config = load_file(folder / WEIGHTS), json.loads((folder / "config.json").read_text())
    params = settings("pretrained", source=folder)
    save_file({name: value for name, value in weights.items() if "conv_out" not in name}, folder / WEIGHTS, {"format": "pt"})
    with pytest.raises(WeightsError, match=r"missing keys decoder.conv_out.bias and 3 more; fetch the folder anew"):
        load_pretrained(params, LATENT)
    save_file(weights, folder / WEIGHTS, {"format": "pt"})
    (folder / "config.json").write_text(json.dumps({**config, "latent_channels": 8}))
    with pytest.raises(WeightsError, match=r"do not fit its config.json \(.*shape torch.Size\(\[16, 8, 3, 3\]\), but got .*4, 3, 3"):
        load_pretrained(params, LATENT)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:1000])
    with pytest.raises(WeightsError, match=r"do not fit its config.json") as caught:
        load_pretrained(params, LATENT)
    assert "\n" not in str(caught.value)


def test_the_hash_is_that_of_the_file_that_is_loaded(saved) -> None:
    folder = saved(small_kl())
    params = settings("pretrained", source=folder)
    with pytest.raises(WeightsError, match=r"klvae.pretrained.sha256 is 000000000000..., but diffusion_pytorch_model.safetensors has"):
        load_pretrained(replace(params, pretrained=replace(params.pretrained, sha256="0" * 64)), LATENT)
    # A second file with the hash asked for does not vouch for the first, which is the one that is loaded.
    (folder / "other.bin").write_bytes(b"other weights")
    other = hashlib.sha256(b"other weights").hexdigest()
    with pytest.raises(WeightsError, match=f"sha256 is {other[:12]}..., but {WEIGHTS} has"):
        load_pretrained(replace(params, pretrained=replace(params.pretrained, sha256=other)), LATENT)
    right = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    load_pretrained(replace(params, pretrained=replace(params.pretrained, sha256=right)), LATENT)


def test_a_hub_id_needs_a_pinned_revision_and_a_path_must_exist() -> None:
    with pytest.raises(WeightsError, match=r"klvae.pretrained.revision is null; pin the commit"):
        load_pretrained(settings("pretrained", source="owner/name"), LATENT)
    with pytest.raises(WeightsError, match="neither a folder here nor a hub id"):
        load_pretrained(settings("pretrained", source="./nowhere"), LATENT)


def test_a_hub_id_without_network_is_one_line_and_what_was_fetched_before_is_found(saved, tmp_path) -> None:
    code = ("from pipeline.params import PretrainedParams; from pipeline.pretrained import resolve; "
            "print(resolve(PretrainedParams(source='owner/name', revision='0' * 40, subfolder=None, sha256=None), 'klvae.pretrained'))")
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert run.stderr.splitlines()[-1].endswith(
        f"params.yaml: klvae.pretrained.source owner/name at {'0' * 40} is not on this machine and could not be fetched "
        "(ConnectionError); connect to the network once, or set klvae.pretrained.source to a local folder")
    snapshot = tmp_path / "hub/hub/models--owner--name/snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    saved(small_kl()).rename(snapshot)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert run.stdout.strip() == str(snapshot), run.stderr


def test_lpips_is_nothing_for_equal_images_and_has_a_gradient(vgg16) -> None:
    assert load_perceptual(NOTHING) is None
    distance = load_perceptual(replace(NOTHING, source=str(vgg16)))
    assert distance is not None and not any(p.requires_grad for p in distance.parameters())
    generator = torch.Generator().manual_seed(0)
    real, noise = (torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1 for _ in range(2))
    near, far = (real + 0.1 * noise).requires_grad_(), real + 0.5 * noise
    with torch.no_grad():
        assert distance(real, real).tolist() == [0.0, 0.0]
        assert bool((distance(near, real) < distance(far, real)).all())
    distance(near, real).sum().backward()
    assert near.grad is not None and bool(near.grad.abs().sum() > 0)


def test_lpips_backbone_of_another_network_is_refused(tmp_path) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 3, 11, 11)}, tmp_path / "alexnet.pth")
    with pytest.raises(WeightsError, match=r"klvae.lpips: .*alexnet.pth is not torchvision's VGG16 .*set klvae.lpips.source to null"):
        load_perceptual(replace(NOTHING, source=str(tmp_path / "alexnet.pth")))
    with pytest.raises(WeightsError, match=r"klvae.lpips.revision is null"):
        resolve(replace(NOTHING, source="timm/vgg16.tv_in1k"), "klvae.lpips")
