"""One function over diffusers' schedulers: from noise to latents, with the same settings that training used.

    sampler      noise, v     flow    calls of the network
    ddim         Eq. 7        -       steps
    dpm_solver   DPM-Solver++ 2M      steps
    unipc        UniPC, order 2       steps
    euler        -            Euler   steps
    heun         -            Heun    2 steps - 1
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from diffusers.schedulers.scheduling_flow_match_heun_discrete import FlowMatchHeunDiscreteScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor

from pipeline.params import SAMPLERS, SampleParams, Sampler
from stages.dit.diffusion import BETA_END, BETA_START, NUM_TIMESTEPS, Prediction


@dataclass(frozen=True, slots=True)
class Sampling:
    """How samples are drawn: the fields of the same names in `SampleParams`."""

    sampler: Sampler
    steps: int
    guidance_scale: float = 1.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    guidance_rescale: float = 0.0

    @staticmethod
    def of(sample: SampleParams) -> "Sampling":
        """As params.yaml says."""
        first, last = sample.guidance_interval
        return Sampling(sample.sampler, sample.steps, sample.guidance_scale, (first, last), sample.guidance_rescale)


def network_steps(sampling: Sampling) -> int:
    """Calls of the network, guidance not counted."""
    return 2 * sampling.steps - 1 if sampling.sampler == "heun" else sampling.steps


def make_scheduler(sampler: Sampler, prediction: Prediction, zero_terminal_snr: bool) -> Any:
    """The diffusers scheduler of a sampler, for a network trained with this prediction and this end of the schedule."""
    assert sampler in SAMPLERS[prediction], (sampler, prediction)
    if sampler == "euler":
        return FlowMatchEulerDiscreteScheduler(num_train_timesteps=NUM_TIMESTEPS)
    if sampler == "heun":
        return FlowMatchHeunDiscreteScheduler(num_train_timesteps=NUM_TIMESTEPS)
    # Trailing: the first step is t = 999, the only one of pure noise (Lin et al. 2024, 3.3).
    schedule = {"num_train_timesteps": NUM_TIMESTEPS, "beta_start": BETA_START, "beta_end": BETA_END, "beta_schedule": "scaled_linear",
                "prediction_type": prediction, "rescale_betas_zero_snr": zero_terminal_snr, "timestep_spacing": "trailing",
                "final_sigmas_type": "zero", "lower_order_final": True}
    if prediction == "flow":
        schedule |= {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
    if sampler == "unipc":
        return UniPCMultistepScheduler(**schedule, solver_order=2)
    # DDIM (eta 0) is DPM-Solver++ of order 1. diffusers' own `DDIMScheduler` steps by 1000 // steps, which misses the next
    # timestep wherever steps does not divide 1000 (at 600 steps it walks less than the way); this one knows its next timestep.
    return DPMSolverMultistepScheduler(**schedule, algorithm_type="dpmsolver++", solver_order=1 if sampler == "ddim" else 2,
                                       solver_type="midpoint")


@torch.no_grad()
def sample_latents(predict: Callable[[Tensor, Tensor], Tensor], noise: Tensor, scheduler: Any, steps: int,
                   given: Callable[[Tensor, Tensor], Tensor] | None = None, on_step: Callable[[], None] = lambda: None) -> Tensor:
    """Latents [b, n] from noise [b, n]; deterministic (Eq. 7 with no variance, as DDIM).

    Args:
        predict: (z^t [b, n], t [b]) -> the network's prediction [b, n].
        noise: z^T.
        scheduler: a fresh one of `make_scheduler`.
        steps: 1 to 1000.
        given: (z^t, t) -> z^t with what is known in its place; applied before every prediction.
        on_step: called after every step.
    """
    if isinstance(scheduler, FlowMatchEulerDiscreteScheduler):
        # Left to itself it would go to 1/1000 in equal steps and take the last one from there.
        scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps).tolist(), device=noise.device)
    else:
        scheduler.set_timesteps(steps, device=noise.device)
    latents = noise
    for timestep in scheduler.timesteps:
        t = timestep.expand(len(latents))
        if given is not None:
            latents = given(latents, t)
        latents = scheduler.step(predict(latents, t), timestep, latents, return_dict=False)[0]
        on_step()
    return latents
