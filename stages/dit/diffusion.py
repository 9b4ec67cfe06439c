"""The forward process and the training target (Eq. 4 to 8), and the rectified flow that can take their place.

    paper               code
    beta_t              betas (scaled linear, 0.00085 to 0.012, T = 1000)
    alpha bar_t         alphas_cumprod[t], t counted from 0
    z^0, z^t, n^t       latents, noisy latents, noise

    prediction     z^t                                t                    target
    epsilon        sqrt(abar) z^0 + sqrt(1-abar) n    0, 1, ... 999        n                                  (Eq. 6, 8)
    v_prediction   the same                           the same             sqrt(abar) n - sqrt(1-abar) z^0
    flow           (1 - s) z^0 + s n, s = t / 1000    any number to 1000   n - z^0                            (Liu et al. 2023)
"""

from typing import Literal

import torch
from torch import Tensor, nn

NUM_TIMESTEPS = 1000
BETA_START, BETA_END = 0.00085, 0.012

Prediction = Literal["epsilon", "v_prediction", "flow"]
Timesteps = Literal["uniform", "logit_normal"]


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
            timesteps: [b]; int64, 0 to 999, or for a flow of any kind, 0 to 1000.
        """
        signal, spread = self._scales(latents, timesteps)
        return signal * latents + spread * noise

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the network shall predict: noise (Eq. 8), v (Salimans and Ho 2022), or the flow's velocity dz^t / ds."""
        if self.prediction == "epsilon":
            return noise
        if self.prediction == "flow":
            return noise - latents
        signal, spread = self._scales(latents, timesteps)
        return signal * noise - spread * latents

    def min_snr_weights(self, timesteps: Tensor, gamma: float) -> Tensor:
        """Weights [b] of the squared error: those of predicting z^0 at min(SNR, gamma) (Hang et al. 2023, Eq. 9).

        Args:
            timesteps: t [b].
            gamma: the paper's 5.
        """
        signal, spread = self._scales(timesteps.float(), timesteps)
        if self.prediction == "epsilon":  # an error e of the noise is one of e spread / signal of z^0
            return torch.clamp(gamma * (spread / signal) ** 2, max=1.0)
        # An error e of either velocity is one of e spread of z^0 (of a flow, where signal + spread = 1, as well).
        return torch.minimum(signal**2, gamma * spread**2)

    def draw_timesteps(self, count: int, device: torch.device, distribution: Timesteps) -> Tensor:
        """One t a sample [count], int64 or (of a flow) float32: drawn from a distribution, and together spread evenly over it.

        One draw shifts a comb of `count` teeth (low-discrepancy sampling, Kingma et al. 2021), which steadies the loss.
        """
        comb = (torch.rand((), device=device) + torch.arange(count, device=device) / count) % 1
        if distribution == "logit_normal":
            comb = torch.special.ndtri(comb.clamp(1e-6, 1 - 1e-6)).sigmoid()
        if self.prediction == "flow":
            return comb * NUM_TIMESTEPS
        return (comb * NUM_TIMESTEPS).long().clamp(max=NUM_TIMESTEPS - 1)

    def _scales(self, like: Tensor, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """What z^0 and n are multiplied by, shaped to multiply `like`: sqrt(abar_t) and sqrt(1 - abar_t), or 1 - s and s."""
        shape = (-1, *[1] * (like.ndim - 1))
        if self.prediction == "flow":
            share = (timesteps.float() / NUM_TIMESTEPS).view(shape)
            return 1 - share, share
        abar = self.alphas_cumprod[timesteps].view(shape)
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
