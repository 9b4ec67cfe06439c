"""One function over diffusers' schedulers: from noise to latents, with the same settings that training used."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Tensor

from stages.dit.diffusion import BETA_END, BETA_START, NUM_TIMESTEPS, Prediction

Sampler = Literal["ddim", "dpm_solver"]
ORDERS: dict[Sampler, int] = {"ddim": 1, "dpm_solver": 2}
"""DDIM (eta 0) is DPM-Solver++ of order 1. diffusers' own `DDIMScheduler` steps by 1000 // steps, which misses the
next timestep wherever steps does not divide 1000 (at 600 steps it walks less than the way); this one knows its next timestep."""


def make_scheduler(sampler: Sampler, prediction: Prediction, zero_terminal_snr: bool) -> Any:
    """The diffusers scheduler of a sampler, for a network trained with this prediction and this end of the schedule."""
    return DPMSolverMultistepScheduler(
        num_train_timesteps=NUM_TIMESTEPS, beta_start=BETA_START, beta_end=BETA_END, beta_schedule="scaled_linear",
        prediction_type=prediction, rescale_betas_zero_snr=zero_terminal_snr,
        # Trailing: the first step is t = 999, the only one of pure noise (Lin et al. 2024, 3.3).
        timestep_spacing="trailing", final_sigmas_type="zero",
        algorithm_type="dpmsolver++", solver_order=ORDERS[sampler], solver_type="midpoint", lower_order_final=True)


@torch.no_grad()
def sample_latents(predict: Callable[[Tensor, Tensor], Tensor], noise: Tensor, scheduler: Any, steps: int,
                   given: Callable[[Tensor, Tensor], Tensor] | None = None) -> Tensor:
    """Latents [b, n] from noise [b, n]; deterministic (Eq. 7 with no variance, as DDIM).

    Args:
        predict: (z^t [b, n], t int64 [b]) -> the network's prediction [b, n].
        noise: z^T.
        scheduler: a fresh one of `make_scheduler`.
        steps: calls of `predict`, 1 to 1000.
        given: (z^t, t) -> z^t with what is known in its place; applied before every prediction.
    """
    scheduler.set_timesteps(steps, device=noise.device)
    latents = noise
    for timestep in scheduler.timesteps:
        t = timestep.expand(len(latents))
        if given is not None:
            latents = given(latents, t)
        latents = scheduler.step(predict(latents, t), timestep, latents, return_dict=False)[0]
    return latents
