"""Sizes of the networks, those of the paper's preset pinned: pytest tests/stages/autoencoder/test_size.py"""

from dataclasses import replace

import pytest

from pipeline.params import Params
from stages.autoencoder.model import MultiModalAutoencoder, Shapes
from stages.autoencoder.size import size_of

LANDSCAPE = Shapes(kl_channels=4, kl_side=32, num_frames=16, class_names=tuple("abcdefghi"))


def test_the_papers_networks_have_their_sizes(paper: Params) -> None:
    found = size_of(paper.autoencoder, LANDSCAPE, 256)
    latents = {name: (found[f"{name}_latent_channels"], found[f"{name}_latent_side"]) for name in ("audio", "video")}
    assert latents == {"audio": (16, 8), "video": (16, 16)}, "z_a is [16, 8, 8], z_v is [16, 16, 16]"
    parameters = {name.removeprefix("parameters_"): value for name, value in found.items() if name.startswith("parameters")}
    assert parameters == {
        "parameters": 1_140_006_414, "audio_encoder": 91_487_008, "video_encoder": 59_342_368, "audio_projector": 27_780_352,
        "video_projector": 38_106_624, "classification_head": 4_788_233, "contrastive_head": 2_426_113, "conditions": 56_547_840,
        "unet": 859_520_964, "discriminator": 7_240_769}  # the U-Net's is Stable Diffusion 1.5's as published
    assert found["gflop_encode"] == pytest.approx(294.29) and found["gflop_unet"] == pytest.approx(180.356)
    assert found["gflop_decode"] == pytest.approx(17 * 50 * 2 * found["gflop_unet"], rel=0.01), "17 images, 50 steps, guided"


def test_the_size_follows_the_params(params: Params, shapes: Shapes) -> None:
    ae = params.autoencoder
    plain = size_of(ae, shapes, 32)
    assert plain["parameters"] == sum(p.numel() for p in MultiModalAutoencoder(ae, shapes).parameters())
    decoder = replace(ae.signal_decoder, inference_steps=4, sampler="dpm_solver", video_guidance_scale=2.0)
    longer = size_of(replace(ae, signal_decoder=decoder), shapes, 32)
    assert longer["gflop_decode"] - plain["gflop_decode"] == pytest.approx((4 * 2 - 1) * 17 * plain["gflop_unet"], rel=1e-3)
    without = size_of(replace(ae, loss=replace(ae.loss, adversarial=0.0), heads=replace(ae.heads, contrastive=False)), shapes, 32)
    assert not {"parameters_discriminator", "parameters_contrastive_head"} & set(without)
