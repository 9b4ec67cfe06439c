"""The KL-VAE's door: pytest tests/stages/klvae"""

import json

import pytest
import torch
from diffusers import AutoencoderKL

from pipeline.errors import DataError
from stages.klvae.images import to_model_range, to_uint8
from stages.klvae.measure import size_of
from stages.klvae.model import KLVAE, MIN_LOGVAR, load
from stages.klvae.train import calibrate, latent_std
from tests.stages.klvae.small import noise_images, small_kl, small_tiny


def test_calibrated_latent_has_unit_deviation_and_decodes_the_same() -> None:
    model = KLVAE(small_kl())
    images = to_model_range(noise_images(8))
    with torch.no_grad():
        decoded = model.decode(model.encode(images).chunk(2, dim=1)[0])
        calibrate(model, noise_images(8))
        assert model.scale != 1.0
        moments = model.encode(images)
        assert latent_std(moments) == pytest.approx(1.0, abs=1e-3)
        torch.testing.assert_close(model.decode(moments.chunk(2, dim=1)[0]), decoded, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("build", [small_kl, small_tiny])
@torch.no_grad()
def test_scale_and_shift_are_those_of_the_config(build) -> None:
    network, images = build(), to_model_range(noise_images(2))
    plain = KLVAE(network).encode(images).chunk(2, dim=1)[0]
    network.register_to_config(scaling_factor=0.5, shift_factor=0.25)
    scaled = KLVAE(network)
    mean = scaled.encode(images).chunk(2, dim=1)[0]
    torch.testing.assert_close(mean, (plain - 0.25) * 0.5)
    torch.testing.assert_close(scaled.decode(mean), network.decode(plain).sample)


@torch.no_grad()
def test_the_tiny_autoencoder_has_a_latent_without_spread() -> None:
    model = KLVAE(small_tiny())
    moments = model.encode(to_model_range(noise_images(2)))
    assert moments.shape == (2, 8, 8, 8) and bool((moments[:, 4:] == MIN_LOGVAR).all())


@pytest.mark.parametrize("build", [small_kl, small_tiny])
@torch.no_grad()
def test_the_size_is_that_of_what_comes_out(build) -> None:
    model = KLVAE(build())
    size = size_of(model, 32)
    latent = model.encode(to_model_range(noise_images(1))).chunk(2, dim=1)[0]
    assert latent.shape == (1, size["latent_channels"], size["latent_side"], size["latent_side"])
    assert size["latent_channels"] == model.latent_channels and size["latent_side"] == 32 / model.factor
    assert size["gflop_encode"] > 0 and size["gflop_decode"] > 0


def test_the_papers_kl_vae_has_the_size_of_stable_diffusions() -> None:
    with torch.device("meta"):
        network = AutoencoderKL(block_out_channels=(128, 256, 512, 512), down_block_types=("DownEncoderBlock2D",) * 4,
                                up_block_types=("UpDecoderBlock2D",) * 4, layers_per_block=2, latent_channels=4)
    assert size_of(KLVAE(network), 256) == {"parameters": 83_653_863, "latent_channels": 4, "latent_side": 32,
                                            "gflop_encode": 272.722, "gflop_decode": 622.187}


def test_pixels_survive_the_change_of_range() -> None:
    images = noise_images(2)
    assert torch.equal(to_uint8(to_model_range(images)), images)


@pytest.mark.parametrize("build", [small_kl, small_tiny])
def test_a_finished_stage_is_loaded_frozen_and_an_unfinished_one_refused(build, tmp_path) -> None:
    network = build()
    network.save_pretrained(tmp_path / "klvae")
    with pytest.raises(DataError, match="not whole"):
        load(tmp_path / "klvae")
    (tmp_path / "klvae" / "_SUCCESS.json").write_text(json.dumps({}))
    loaded = load(tmp_path / "klvae")
    assert type(loaded.autoencoder) is type(network)
    assert not any(p.requires_grad for p in loaded.parameters())
