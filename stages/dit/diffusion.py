"""The forward process and the training target (Eq. 4 to 8).

    paper               code
    beta_t              betas (scaled linear, 0.00085 to 0.012, T = 1000)
    alpha bar_t         alphas_cumprod[t], t counted from 0
    z^0, z^t, n^t       latents, noisy latents, noise
"""

from typing import Literal

import torch
from torch import Tensor, nn

NUM_TIMESTEPS = 1000
BETA_START, BETA_END = 0.00085, 0.012

Prediction = Literal["epsilon", "v_prediction"]


class Diffusion(nn.Module):
    """The noise schedule, and what the network is asked to predict. Holds no weights."""

    alphas_cumprod: Tensor

    def __init__(self, prediction: Prediction, zero_terminal_snr: bool) -> None:
        super().__init__()
        self.prediction, self.zero_terminal_snr = prediction, zero_terminal_snr
        self.register_buffer("alphas_cumprod", make_alphas_cumprod(zero_terminal_snr), persistent=False)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """z^t of Eq. 6; the print lacks the square root over (1 - alpha bar) that Eq. 5 demands.

        Args:
            latents, noise: [b, ...].
            timesteps: int64 [b], 0 to 999.
        """
        signal, spread = self._scales(latents, timesteps)
        return signal * latents + spread * noise

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the network shall predict: the noise (Eq. 8), or v = sqrt(abar) n - sqrt(1 - abar) z^0 (Salimans and Ho 2022)."""
        if self.prediction == "epsilon":
            return noise
        signal, spread = self._scales(latents, timesteps)
        return signal * noise - spread * latents

    def _scales(self, like: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(abar_t) and sqrt(1 - abar_t), shaped to multiply `like`."""
        abar = self.alphas_cumprod[timesteps].view(-1, *[1] * (like.ndim - 1))
        return abar.sqrt(), (1 - abar).sqrt()


def make_alphas_cumprod(zero_terminal_snr: bool) -> Tensor:
    """alpha bar_t [1000], float32; Eq. 4 and 5.

    Args:
        zero_terminal_snr: shift and stretch sqrt(abar) so that the last step is pure noise (Lin et al. 2024, Algorithm 1).
    """
    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, NUM_TIMESTEPS, dtype=torch.float64) ** 2
    signal = torch.cumprod(1 - betas, dim=0).sqrt()
    if zero_terminal_snr:
        signal = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
    return (signal**2).float()


def draw_timesteps(count: int, device: torch.device) -> Tensor:
    """One t a sample, int64 [count]: each uniform on 0 to 999, and together spread evenly, which steadies the loss.

    One draw shifts a comb of `count` teeth (low-discrepancy sampling, Kingma et al. 2021).
    """
    comb = (torch.rand((), device=device) + torch.arange(count, device=device) / count) % 1
    return (comb * NUM_TIMESTEPS).long().clamp(max=NUM_TIMESTEPS - 1)
