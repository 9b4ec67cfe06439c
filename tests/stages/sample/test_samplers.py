"""Samplers against closed forms: for Gaussian data the ideal prediction, and where DDIM must end, are known.

    pytest tests/stages/sample/test_samplers.py
"""

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from stages.dit.diffusion import Diffusion, Prediction
from stages.sample.guidance import guide
from stages.sample.samplers import Sampler, make_scheduler, sample_latents

MEAN, STD = 0.7, 0.4


class IdealNetwork:
    """The best prediction for latents drawn from N(MEAN, STD^2)."""

    def __init__(self, prediction: Prediction, zero_terminal_snr: bool) -> None:
        self.diffusion = Diffusion(prediction, zero_terminal_snr).double()
        self.seen: list[int] = []

    def __call__(self, latents: Tensor, timesteps: Tensor) -> Tensor:
        self.seen.append(int(timesteps[0]))
        abar = self.diffusion.alphas_cumprod[timesteps][:, None]
        noise = (1 - abar).sqrt() * (latents - abar.sqrt() * MEAN) / (abar * STD**2 + 1 - abar)  # E[n | z^t]
        clean = MEAN + abar.sqrt() * STD**2 * (latents - abar.sqrt() * MEAN) / (abar * STD**2 + 1 - abar)  # E[z^0 | z^t]
        return noise if self.diffusion.prediction == "epsilon" else abar.sqrt() * noise - (1 - abar).sqrt() * clean


CASES: list[tuple[Prediction, bool]] = [("epsilon", False), ("v_prediction", False), ("v_prediction", True)]


@pytest.mark.parametrize(("prediction", "zero_terminal_snr"), CASES)
@pytest.mark.parametrize(("sampler", "steps"), [("ddim", 500), ("dpm_solver", 200)])
def test_noise_flows_to_where_the_closed_form_says(sampler: Sampler, steps: int, prediction: Prediction, zero_terminal_snr: bool) -> None:
    """The probability flow of Gaussian data keeps each point's place in units of the deviation."""
    network = IdealNetwork(prediction, zero_terminal_snr)
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    end = sample_latents(network, noise, make_scheduler(sampler, prediction, zero_terminal_snr), steps)
    abar = network.diffusion.alphas_cumprod[-1]
    place = (noise - abar.sqrt() * MEAN) / (abar * STD**2 + 1 - abar).sqrt()
    torch.testing.assert_close(end, MEAN + STD * place, rtol=0, atol=0.02)


@pytest.mark.parametrize(("prediction", "zero_terminal_snr"), CASES)
@pytest.mark.parametrize("steps", [1, 20])
def test_ddim_is_diffusers_ddim_step_for_step(steps: int, prediction: Prediction, zero_terminal_snr: bool) -> None:
    network = IdealNetwork(prediction, zero_terminal_snr)
    noise = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    reference = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=prediction, clip_sample=False,
        set_alpha_to_one=True, timestep_spacing="trailing", rescale_betas_zero_snr=zero_terminal_snr)
    reference.set_timesteps(steps)
    expected = noise
    for t in reference.timesteps:
        expected = reference.step(network(expected, t.expand(5)).float(), t, expected).prev_sample
    found = sample_latents(lambda x, t: network(x, t).float(), noise, make_scheduler("ddim", prediction, zero_terminal_snr), steps)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-3)


def test_every_step_count_begins_at_pure_noise_and_walks_the_whole_way() -> None:
    for steps in (1, 7, 30, 600):
        network = IdealNetwork("v_prediction", True)
        noise = torch.tensor([[1.0]], dtype=torch.float64)
        end = sample_latents(network, noise, make_scheduler("ddim", "v_prediction", True), steps)
        assert len(network.seen) == steps and network.seen[0] == 999 and network.seen == sorted(network.seen, reverse=True)
        assert steps < 30 or float(end) == pytest.approx(MEAN + STD, abs=0.1)


def test_what_is_given_replaces_the_latents_before_every_prediction() -> None:
    seen: list[float] = []

    def predict(latents: Tensor, t: Tensor) -> Tensor:
        seen.append(float(latents[0, 0]))
        return torch.zeros_like(latents)

    scheduler = make_scheduler("dpm_solver", "v_prediction", True)
    sample_latents(predict, torch.randn(1, 2), scheduler, 4, given=lambda latents, t: torch.full_like(latents, float(t[0])))
    assert seen == [999, 749, 499, 249]


def test_guidance_is_eq_9_with_its_sign_mended() -> None:
    conditional, unconditional = torch.tensor([2.0, -1.0]), torch.tensor([1.0, 1.0])
    assert guide(conditional, unconditional, 1.0).tolist() == [2, -1]
    assert guide(conditional, unconditional, 0.0).tolist() == [1, 1]
    phi = 2.5
    torch.testing.assert_close(guide(conditional, unconditional, phi), phi * conditional + (1 - phi) * unconditional)
    # As printed, equal predictions would come out 2 phi - 1 times as large.
    assert guide(conditional, conditional, phi).tolist() == conditional.tolist()
