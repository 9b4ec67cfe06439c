"""The diffusion of KL-VAE latents that the signal decoder reverses (Eq. 4 to 6): 1000 steps, scaled-linear 0.00085 to 0.012."""

from typing import Any

import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Tensor, nn

from pipeline.params import SignalDecoderParams
from pipeline.shared_batch import own_rows

NUM_TIMESTEPS = 1000


class NoiseSchedule(nn.Module):
    """alpha = sqrt(abar_t) and sigma = sqrt(1 - abar_t) by timestep, and the samplers over them."""

    def __init__(self, params: SignalDecoderParams) -> None:
        super().__init__()
        self.params = params
        with torch.device("cpu"):  # diffusers' schedulers cannot be made on the meta device, where networks are only counted
            alphas_cumprod = self.scheduler().alphas_cumprod.double()
        self.alpha: Tensor
        self.sigma: Tensor
        self.register_buffer("alpha", torch.tensor(alphas_cumprod.sqrt().tolist()), persistent=False)
        self.register_buffer("sigma", torch.tensor((1 - alphas_cumprod).sqrt().tolist()), persistent=False)

    def scheduler(self, steps: int | None = None) -> Any:
        """A diffusers sampler of `params.sampler`, set to `steps` (1 to 1000) when given.

        Timesteps trail (the first is the last one of training), so that one step starts from what training calls pure noise.
        diffusers' DDIM walks in strides of 1000 // steps and stops short of the signal where that leaves a rest; there
        DPM-Solver++ of order 1 takes its place, the same step in other letters, which knows its next timestep.
        """
        settings: dict[str, Any] = {
            "num_train_timesteps": NUM_TIMESTEPS, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
            "prediction_type": self.params.prediction, "timestep_spacing": "trailing",
            "rescale_betas_zero_snr": self.params.zero_terminal_snr}
        if self.params.sampler == "ddim" and NUM_TIMESTEPS % (steps or 1) == 0:
            scheduler: Any = DDIMScheduler(clip_sample=False, set_alpha_to_one=True, **settings)
        else:
            scheduler = DPMSolverMultistepScheduler(algorithm_type="dpmsolver++", final_sigmas_type="zero",
                                                    solver_order=1 if self.params.sampler == "ddim" else 2, **settings)
        if steps is not None:
            scheduler.set_timesteps(steps)
        return scheduler

    def at(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma [n, 1, 1, 1] of timesteps [n]."""
        return self.alpha[timesteps][:, None, None, None], self.sigma[timesteps][:, None, None, None]

    def add_noise(self, x0: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Eq. (6), whose printed form lacks the root on (1 - abar): alpha x0 + sigma noise."""
        alpha, sigma = self.at(timesteps)
        return alpha * x0 + sigma * noise

    def target(self, x0: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the network predicts: the noise, v = alpha noise - sigma x0, or x0."""
        alpha, sigma = self.at(timesteps)
        if self.params.prediction == "v_prediction":
            return alpha * noise - sigma * x0
        return noise if self.params.prediction == "epsilon" else x0

    def predicted_x0(self, noisy: Tensor, prediction: Tensor, timesteps: Tensor) -> Tensor:
        """x0 that a prediction implies."""
        alpha, sigma = self.at(timesteps)
        if self.params.prediction == "sample":
            return prediction
        return (noisy - sigma * prediction) / alpha if self.params.prediction == "epsilon" else alpha * noisy - sigma * prediction

    def guess(self, noisy: Tensor, centre: Tensor, timesteps: Tensor) -> Tensor:
        """The best prediction for x0 ~ N(centre, 1), which a network that knows more only has to correct.

        With r = noisy - alpha centre: E[x0] = centre + alpha r and E[noise] = sigma r, bounded at every timestep.
        """
        alpha, sigma = self.at(timesteps)
        residual = noisy - alpha * centre
        return self.target(centre + alpha * residual, sigma * residual, timesteps)

    def draw_timesteps(self, b: int, device: torch.device) -> Tensor:
        """Timesteps [2 b] to train on, of b sounds and b pictures: uniform, but a share of `terminal_share` is the last one."""
        def draw(count: int) -> Tensor:
            uniform = torch.randint(0, NUM_TIMESTEPS, (count,), device=device)
            terminal = torch.rand(count, device=device) < self.params.terminal_share
            return torch.where(terminal, NUM_TIMESTEPS - 1, uniform)

        return own_rows(draw, b, b)
