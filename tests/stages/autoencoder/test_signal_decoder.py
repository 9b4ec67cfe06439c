"""The shared U-Net: pretrained output unchanged at step 0, the noise schedule's algebra, sampling with a known answer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.errors import ParamsError, WeightsError
from pipeline.params import Params, PretrainedParams, SignalDecoderParams
from stages.autoencoder.conditions import Conditions
from stages.autoencoder.noise_schedule import NUM_TIMESTEPS, NoiseSchedule
from stages.autoencoder.signal_decoder import (
    SignalDecoder,
    attention_kernels,
    build_unet,
    input_block_sides,
    load_pretrained_unet,
    walk_unet,
)

B, K, SIDE = 2, 3, 8


def paper_like(params: Params, **changes: Any) -> SignalDecoderParams:
    """Small, but as the paper decodes: epsilon, no coarse decode."""
    return replace(params.autoencoder.signal_decoder, **{
        "coarse_channels": 0, "prediction": "epsilon", "zero_terminal_snr": False, "attention": (True, False), **changes})


def build(params: SignalDecoderParams) -> SignalDecoder:
    torch.manual_seed(0)
    return SignalDecoder(params, kl_channels=4, context_dim=16, audio_channels=4, video_channels=6, num_classes=3)


def local(folder: Path) -> PretrainedParams:
    return PretrainedParams(source=str(folder), revision=None, subfolder=None, sha256=None)


def conditions_of(decoder: SignalDecoder, coarse_channels: int = 0, seed: int = 1) -> Conditions:
    torch.manual_seed(seed)
    positions = torch.rand(B, K)
    return decoder.conditions(torch.randn(B, 4, 2, 2), torch.randn(B, 6, 4, 4), torch.randn(B, 16, 1, 1), torch.randn(B, 16, 2, 2),
                              torch.tensor([0, 2]), positions, torch.randn(B, coarse_channels, SIDE, SIDE),
                              torch.randn(B * K, coarse_channels, SIDE, SIDE))


def test_every_new_path_is_zero_at_step_0_so_the_unet_answers_as_diffusers_does(params: Params) -> None:
    decoder = build(paper_like(params, layers_per_block=2))
    conditions = conditions_of(decoder)
    x, t = torch.randn(B + B * K, 4, SIDE, SIDE), torch.randint(0, 1000, (B + B * K,))
    plain = decoder.unet(x, t, encoder_hidden_states=conditions.context).sample
    # The same sums in the same order, but attention goes through another kernel here and there.
    assert torch.allclose(decoder(x, t, conditions), plain, atol=1e-5)
    assert not any(bool(maps.any()) for maps in [*conditions.features, conditions.pooled])
    assert torch.equal(walk_unet(decoder.unet, x, t, conditions), walk_unet(decoder.unet, x, t, replace_latent_paths(conditions)))


def replace_latent_paths(conditions: Conditions) -> Conditions:
    return Conditions([torch.zeros_like(m) for m in conditions.features], torch.zeros_like(conditions.pooled), conditions.context,
                      conditions.coarse)


def test_every_input_block_receives_its_feature(params: Params) -> None:
    decoder = build(paper_like(params, layers_per_block=2))
    conditions = conditions_of(decoder)
    assert [m.shape[-1] for m in conditions.features] == input_block_sides(decoder.params, SIDE) == [8, 8, 8, 4, 4, 4]
    maps = [m.detach().requires_grad_() for m in conditions.features]
    given = Conditions(maps, conditions.pooled.detach().requires_grad_(), conditions.context.detach().requires_grad_(), conditions.coarse)
    decoder(torch.randn(B + B * K, 4, SIDE, SIDE), torch.full((B + B * K,), 500), given).square().sum().backward()
    assert all(m.grad is not None and float(m.grad.abs().sum()) > 0 for m in [*maps, given.pooled, given.context])


def test_latents_reach_the_zero_layers_gradients_at_step_0(params: Params) -> None:
    decoder = build(paper_like(params))
    decoder(torch.randn(B + B * K, 4, SIDE, SIDE), torch.full((B + B * K,), 500), conditions_of(decoder)).square().sum().backward()
    for modality in (decoder.audio, decoder.video):
        assert all(conv.weight.grad is not None and float(conv.weight.grad.abs().sum()) > 0 for conv in modality.zero_convs)
        assert modality.semantic is not None and modality.pooled is not None
        assert float(modality.semantic[2].weight.grad.abs().sum()) > 0 and float(modality.pooled[2].weight.grad.abs().sum()) > 0


def test_each_condition_of_table_5_can_be_switched_off(params: Params) -> None:
    decoder = build(paper_like(params, num_prompt_tokens=0, class_embedding=False, semantic_context=False, pooled_latent=False))
    conditions = conditions_of(decoder)
    assert float(conditions.context.abs().sum()) == 0 and decoder.class_embedding is None
    assert torch.isfinite(decoder(torch.randn(8, 4, SIDE, SIDE), torch.full((8,), 10), conditions)).all()
    full = conditions_of(build(paper_like(params, num_prompt_tokens=2)))
    assert full.context.shape[1] == 2 + 1 + 4  # prompt, class, the larger of the two semantic maps


def test_pretrained_weights_load_and_a_wider_input_starts_at_zero(params: Params, tmp_path: Path) -> None:
    plain = paper_like(params)
    torch.manual_seed(3)
    source = build_unet(plain, 4, 16)
    source.save_pretrained(tmp_path / "unet")
    wide = replace(plain, pretrained=local(tmp_path / "unet"), coarse_channels=16)
    unet = build_unet(wide, 4, 16)
    load_pretrained_unet(unet, wide)
    x, t, context = torch.randn(2, 4, SIDE, SIDE), torch.tensor([3, 700]), torch.randn(2, 5, 16)
    widened = unet(torch.cat([x, torch.randn_like(x)], dim=1), t, encoder_hidden_states=context).sample
    assert torch.allclose(widened, source(x, t, encoder_hidden_states=context).sample, atol=1e-5)


def test_a_decoder_that_starts_from_pretrained_weights_answers_exactly_as_they_do(params: Params, tmp_path: Path) -> None:
    """A random U-Net stands in for Stable Diffusion's: diffusers' own forward of what was saved, on the same context, bit by bit."""
    settings = paper_like(params, layers_per_block=2)
    torch.manual_seed(3)
    build_unet(settings, 4, 16).save_pretrained(tmp_path / "unet")
    pretrained = UNet2DConditionModel.from_pretrained(tmp_path / "unet").eval()
    decoder = build(settings).eval()
    load_pretrained_unet(decoder.unet, replace(settings, pretrained=local(tmp_path / "unet")))
    conditions = conditions_of(decoder)
    x, t = torch.randn(B + B * K, 4, SIDE, SIDE), torch.randint(0, 1000, (B + B * K,))
    with torch.no_grad(), attention_kernels(x):
        assert torch.equal(decoder(x, t, conditions), pretrained(x, t, encoder_hidden_states=conditions.context).sample)
        other = conditions_of(decoder, seed=2)  # other latents: they say nothing yet, the class does
        assert torch.equal(other.context, conditions.context)
        assert torch.equal(decoder(x, t, other), decoder(x, t, conditions))


def test_damaged_and_foreign_pretrained_weights_are_one_line(params: Params, tmp_path: Path) -> None:
    settings = replace(paper_like(params), pretrained=local(tmp_path / "unet"))
    unet = build_unet(settings, 4, 16)
    unet.save_pretrained(tmp_path / "unet")
    file = tmp_path / "unet/diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    save_file({name: value for name, value in weights.items() if "conv_out" not in name}, file, {"format": "pt"})
    entry = "params.yaml: autoencoder.signal_decoder.pretrained"
    with pytest.raises(WeightsError, match=rf"{entry}: .*missing keys conv_out.bias and 1 more; fetch the folder anew"):
        load_pretrained_unet(unet, settings)
    with pytest.raises(WeightsError, match=r"autoencoder.signal_decoder.pretrained.sha256 is ffffffffffff..., but diffusion_pytorch_model"):
        load_pretrained_unet(unet, replace(settings, pretrained=replace(settings.pretrained, sha256="f" * 64)))
    (tmp_path / "unet/config.json").unlink()
    with pytest.raises(WeightsError, match=rf"{entry}: .*no readable config.json.*UNet2DConditionModel; of a whole .*subfolder to unet"):
        load_pretrained_unet(unet, settings)


def test_pretrained_weights_of_another_shape_are_named(params: Params, tmp_path: Path) -> None:
    plain = paper_like(params)
    build_unet(plain, 4, 16).save_pretrained(tmp_path / "unet")
    other = replace(plain, pretrained=local(tmp_path / "unet"), layers_per_block=2)
    with pytest.raises(WeightsError, match=r"absent there.*set block_channels"):
        load_pretrained_unet(build_unet(other, 4, 16), other)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_x0_comes_back_from_each_kind_of_prediction(params: Params, prediction: str) -> None:
    schedule = NoiseSchedule(paper_like(params, prediction=prediction))
    torch.manual_seed(0)
    x0, noise, t = torch.randn(4, 4, 2, 2), torch.randn(4, 4, 2, 2), torch.tensor([0, 100, 500, 900])
    noisy = schedule.add_noise(x0, noise, t)
    assert torch.allclose(schedule.predicted_x0(noisy, schedule.target(x0, noise, t), t), x0, atol=1e-4)


def test_the_guess_is_the_least_squares_answer_for_unit_variance_around_the_centre(params: Params) -> None:
    schedule = NoiseSchedule(paper_like(params, prediction="sample"))
    torch.manual_seed(0)
    centre = torch.full((20000, 1, 1, 1), 2.0)
    x0, t = centre + torch.randn_like(centre), torch.full((20000,), 400)
    noisy = schedule.add_noise(x0, torch.randn_like(x0), t)
    guess = schedule.guess(noisy, centre, t)
    error = guess - x0
    assert float(error.mean()) == pytest.approx(0, abs=0.03)
    assert float((error * noisy).mean() - error.mean() * noisy.mean()) == pytest.approx(0, abs=0.03)  # nothing linear is left to gain


def test_zero_terminal_snr_ends_in_pure_noise(params: Params) -> None:
    schedule = NoiseSchedule(paper_like(params, prediction="v_prediction", zero_terminal_snr=True))
    noise, last = torch.randn(1, 4, 2, 2), torch.tensor([NUM_TIMESTEPS - 1])
    assert torch.allclose(schedule.add_noise(torch.full_like(noise, 100.0), noise, last), noise, atol=1e-3)
    with pytest.raises(ParamsError, match="v_prediction or sample"):
        paper_like(params, prediction="epsilon", zero_terminal_snr=True)


@pytest.mark.parametrize("sampler", ["ddim", "dpm_solver"])
@pytest.mark.parametrize(("prediction", "steps"), [("epsilon", 20), ("v_prediction", 1), ("v_prediction", 4)])
def test_sampling_with_a_perfect_prediction_gives_the_signal(params: Params, sampler: str, prediction: str, steps: int) -> None:
    truth = torch.randn(3, 4, 2, 2, generator=torch.Generator().manual_seed(5))

    class Oracle(SignalDecoder):
        def forward(self, noisy: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
            alpha, sigma = self.schedule.at(timesteps)
            known = truth.repeat(len(noisy) // 3, 1, 1, 1)
            return self.schedule.target(known, (noisy - alpha * known) / sigma, timesteps)

    settings = paper_like(params, prediction=prediction, zero_terminal_snr=prediction != "epsilon", sampler=sampler)
    oracle = Oracle(settings, kl_channels=4, context_dim=16, audio_channels=4, video_channels=6, num_classes=3)
    empty = Conditions([], torch.zeros(3, 1), torch.zeros(3, 1, 16), torch.zeros(3, 0, 2, 2))
    for guidance in (None, torch.full((3,), 2.5)):
        assert torch.allclose(oracle.sample(torch.randn(3, 4, 2, 2), empty, steps, guidance), truth, atol=2e-2)


@pytest.mark.parametrize("steps", [1, 3, 7, 20, 50, 600, 999, 1000])
def test_ddim_with_any_number_of_steps_is_its_formula_to_the_end(params: Params, steps: int) -> None:
    """Against Song et al. 2021, Eq. 12 with sigma 0, written out, for a network that answers sin(x) + t / 1000."""
    schedule = NoiseSchedule(paper_like(params, prediction="v_prediction", zero_terminal_snr=False))
    scheduler = schedule.scheduler(steps)
    timesteps = [int(t) for t in scheduler.timesteps]
    assert len(timesteps) == steps and timesteps[0] == NUM_TIMESTEPS - 1
    torch.manual_seed(0)
    x = walked = torch.randn(2, 4, 2, 2)
    for t, following in zip(timesteps, [*timesteps[1:], None], strict=True):
        walked = scheduler.step(walked.sin() + t / 1000, t, walked).prev_sample
        alpha, sigma = (float(values[t]) for values in (schedule.alpha, schedule.sigma))
        velocity = x.sin() + t / 1000
        signal, noise = alpha * x - sigma * velocity, sigma * x + alpha * velocity
        x = signal if following is None else float(schedule.alpha[following]) * signal + float(schedule.sigma[following]) * noise
    assert torch.allclose(walked, x, atol=1e-4)


def test_dpm_solver_is_diffusers_of_order_two(params: Params) -> None:
    schedule = NoiseSchedule(paper_like(params, sampler="dpm_solver"))
    reference = DPMSolverMultistepScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="trailing", final_sigmas_type="zero")
    reference.set_timesteps(13)
    ours, theirs = schedule.scheduler(13), reference
    x = y = torch.randn(2, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    for t in theirs.timesteps:
        x, y = ours.step(x.sin(), t, x).prev_sample, theirs.step(y.sin(), t, y).prev_sample
    assert torch.equal(ours.timesteps, theirs.timesteps) and torch.equal(x, y)


def test_each_image_is_guided_by_its_own_scale(params: Params) -> None:
    decoder = build(paper_like(params))
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    conditions, noise = conditions_of(decoder), torch.randn(B + B * K, 4, SIDE, SIDE)
    phi = torch.tensor([1.0] * B + [3.0] * B * K)
    mixed = decoder.sample(noise, conditions, 3, phi)
    assert torch.allclose(mixed[:B], decoder.sample(noise, conditions, 3, None)[:B], atol=1e-4)
    assert torch.allclose(mixed[B:], decoder.sample(noise, conditions, 3, torch.full_like(phi, 3.0))[B:], atol=1e-4)
    assert not torch.allclose(mixed[B:], decoder.sample(noise, conditions, 3, None)[B:], atol=1e-3)


def test_an_untrained_decoder_answers_with_the_coarse_decode(params: Params) -> None:
    decoder = build(replace(params.autoencoder.signal_decoder, prediction="v_prediction", zero_terminal_snr=True, coarse_channels=16))
    conditions = conditions_of(decoder, coarse_channels=4)
    found = decoder.sample(torch.randn(B + B * K, 4, SIDE, SIDE), conditions, steps=1, guidance=None)
    assert torch.allclose(found, conditions.coarse, atol=1e-3)
