"""The KL-VAE's door: pytest tests/stages/klvae"""

import json

import pytest
import torch
from diffusers import AutoencoderKL

from pipeline.errors import DataError, ParamsError, WeightsError
from pipeline.params import KLLatentParams, KLVAEParams, PretrainedParams, TrainParams
from stages.klvae.images import to_model_range, to_uint8
from stages.klvae.model import KLVAE, build_scratch, latent_std, load, load_pretrained
from stages.klvae.run import calibrate

TRAIN = TrainParams(steps=1, batch_size=2, grad_accumulation=1, learning_rate=1e-3, lr_schedule="constant", warmup_steps=0,
                    weight_decay=0.0, grad_clip=1.0, ema_decay=0.0, precision="fp32", log_every=1, checkpoint_every=1)
LATENT = KLLatentParams(factor=4, channels=4)


def params(source: str | None = None, sha256: str | None = None) -> KLVAEParams:
    pretrained = PretrainedParams(source=source, revision=None, subfolder=None, sha256=sha256)
    return KLVAEParams(mode="pretrained" if source else "scratch", pretrained=pretrained, block_channels=(8, 8, 16), layers_per_block=1,
                       kl_weight=1e-6, train=TRAIN)


def small() -> AutoencoderKL:
    torch.manual_seed(0)
    return build_scratch(params(), LATENT)


def noise_images(count: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_calibrated_latent_has_unit_deviation_and_decodes_the_same() -> None:
    autoencoder = small()
    before = KLVAE(autoencoder)
    images = to_model_range(noise_images(8))
    with torch.no_grad():
        decoded = before.decode(before.encode(images).chunk(2, dim=1)[0])
        calibrate(autoencoder, noise_images(8))
        scaled = KLVAE(autoencoder)
        assert scaled.scale != 1.0
        moments = scaled.encode(images)
        assert latent_std(moments) == pytest.approx(1.0, abs=1e-3)
        torch.testing.assert_close(scaled.decode(moments.chunk(2, dim=1)[0]), decoded, rtol=1e-4, atol=1e-4)


def test_pixels_survive_the_change_of_range() -> None:
    images = noise_images(2)
    assert torch.equal(to_uint8(to_model_range(images)), images)


def test_local_folder_loads_and_differences_are_named(tmp_path) -> None:
    small().save_pretrained(tmp_path / "vae")
    load_pretrained(params(str(tmp_path / "vae")), LATENT)
    with pytest.raises(ParamsError, match=r"kl_latent.channels is 8, expected 4"):
        load_pretrained(params(str(tmp_path / "vae")), KLLatentParams(factor=4, channels=8))
    with pytest.raises(WeightsError, match=r"klvae.pretrained.sha256 is 000000000000..., but diffusion_pytorch_model.safetensors has"):
        load_pretrained(params(str(tmp_path / "vae"), sha256="0" * 64), LATENT)
    with pytest.raises(WeightsError, match="neither a folder here nor a hub id"):
        load_pretrained(params("./nowhere"), LATENT)


def test_hub_id_needs_a_pinned_revision() -> None:
    with pytest.raises(WeightsError, match=r"klvae.pretrained.revision is null; pin the commit"):
        load_pretrained(params("owner/name"), LATENT)


def test_unfinished_stage_is_refused(tmp_path) -> None:
    small().save_pretrained(tmp_path / "klvae")
    with pytest.raises(DataError, match="not whole"):
        load(tmp_path / "klvae")
    (tmp_path / "klvae" / "_SUCCESS.json").write_text(json.dumps({}))
    assert not any(p.requires_grad for p in load(tmp_path / "klvae").parameters())
