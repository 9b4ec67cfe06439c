"""Eq. 4 to 8: the schedule is diffusers', the forward process and the targets are their formulas.

    pytest tests/stages/dit/test_diffusion.py
"""

import pytest
import torch
from diffusers import DDIMScheduler

from stages.dit.diffusion import Diffusion, Prediction, make_alphas_cumprod


@pytest.mark.parametrize("zero_terminal_snr", [False, True])
def test_schedule_and_forward_process_agree_with_diffusers(zero_terminal_snr: bool) -> None:
    reference = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", rescale_betas_zero_snr=zero_terminal_snr)
    diffusion = Diffusion("v_prediction", zero_terminal_snr)
    torch.testing.assert_close(diffusion.alphas_cumprod, reference.alphas_cumprod, rtol=1e-4, atol=1e-6)
    torch.manual_seed(0)
    z, n, t = torch.randn(4, 3, 2, 2), torch.randn(4, 3, 2, 2), torch.tensor([0, 10, 500, 999])
    torch.testing.assert_close(diffusion.add_noise(z, n, t), reference.add_noise(z, n, t), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(diffusion.target(z, n, t), reference.get_velocity(z, n, t), rtol=1e-3, atol=1e-4)


def test_noisy_latents_keep_unit_variance() -> None:
    """Eq. 6 with its square root; as printed, the variance at t = 300 would fall to about 0.7."""
    torch.manual_seed(0)
    z, n = torch.randn(2, 200_000), torch.randn(2, 200_000)
    noisy = Diffusion("epsilon", False).add_noise(z, n, torch.tensor([300, 600]))
    torch.testing.assert_close(noisy.var(dim=1), torch.ones(2), rtol=0, atol=0.02)


def test_zero_terminal_snr_ends_in_pure_noise() -> None:
    assert make_alphas_cumprod(True)[-1] == 0
    assert make_alphas_cumprod(False)[-1] > 0.004
    assert make_alphas_cumprod(True)[0] == make_alphas_cumprod(False)[0]


def test_epsilon_target_is_the_noise() -> None:
    noise = torch.randn(2, 3)
    assert Diffusion("epsilon", False).target(torch.randn(2, 3), noise, torch.tensor([5, 900])) is noise


def test_timesteps_of_a_batch_cover_the_range_evenly() -> None:
    torch.manual_seed(0)
    t = torch.stack([Diffusion("epsilon", False).draw_timesteps(50, torch.device("cpu"), "uniform") for _ in range(400)])
    assert t.min() == 0 and t.max() == 999
    assert (torch.diff(t.sort(dim=1).values) <= 21).all()
    assert t[:, 0].float().mean() == pytest.approx(499.5, abs=45)


@pytest.mark.parametrize("prediction", ["v_prediction", "flow"])
def test_logit_normal_timesteps_are_the_sigmoid_of_a_normal(prediction: Prediction) -> None:
    """Esser et al. 2024, m = 0, s = 1: the logit of t / 1000 has mean 0 and deviation 1."""
    torch.manual_seed(0)
    t = torch.cat([Diffusion(prediction, False).draw_timesteps(500, torch.device("cpu"), "logit_normal") for _ in range(20)])
    logit = ((t.double() + (0 if prediction == "flow" else 0.5)) / 1000).logit()
    assert float(logit.mean()) == pytest.approx(0, abs=0.03) and float(logit.std()) == pytest.approx(1, abs=0.03)
    assert t.is_floating_point() == (prediction == "flow")


def test_a_flow_goes_straight_from_latents_to_noise() -> None:
    torch.manual_seed(0)
    z, n, flow = torch.randn(3, 4), torch.randn(3, 4), Diffusion("flow", False)
    t = torch.tensor([0.0, 250.0, 1000.0])
    torch.testing.assert_close(flow.add_noise(z, n, t), torch.stack([z[0], 0.75 * z[1] + 0.25 * n[1], n[2]]))
    later = flow.add_noise(z, n, t + 1)
    torch.testing.assert_close((later - flow.add_noise(z, n, t)) * 1000, flow.target(z, n, t), rtol=0, atol=2e-3)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "flow"])
def test_min_snr_weighs_every_prediction_as_an_error_of_the_latents(prediction: Prediction) -> None:
    """Hang et al. 2023: the loss of z^0 weighted by min(SNR, gamma), whatever the network predicts."""
    diffusion, gamma = Diffusion(prediction, False), 5.0
    t = torch.tensor([1, 100, 400, 700, 998])
    signal, spread = diffusion._scales(t.double()[:, None], t)
    error = torch.full((5, 1), 0.3, dtype=torch.float64)  # of the prediction, turned into one of z^0
    latent_error = {"epsilon": spread / signal * error, "v_prediction": spread * error, "flow": spread * error}[prediction]
    expected = ((signal / spread) ** 2).clamp(max=gamma) * latent_error**2
    found = diffusion.min_snr_weights(t, gamma)[:, None] * error**2
    torch.testing.assert_close(found.double(), expected.double(), rtol=1e-4, atol=1e-9)
