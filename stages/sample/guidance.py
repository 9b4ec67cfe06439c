"""Classifier-free guidance (Eq. 9), where in the sampling it acts, and what keeps it from over-exposing."""

from torch import Tensor


def guide(conditional: Tensor, unconditional: Tensor, guidance_scale: float) -> Tensor:
    """Eq. 9 with its sign mended: n_null + phi (n_cond - n_null) = phi n_cond + (1 - phi) n_null.

    The print subtracts (1 - phi) n_null, which at phi = 1 agrees and elsewhere does not sum to one. The same line
    holds for velocities, which are a linear map of the noise at a given z^t.

    Args:
        conditional, unconditional: the network's predictions with and without the condition.
        guidance_scale: phi; 1: the conditional prediction, more: further from the unconditional one.
    """
    return unconditional + guidance_scale * (conditional - unconditional)


def rescale(guided: Tensor, conditional: Tensor, share: float) -> Tensor:
    """The guided prediction with, by `share`, the conditional one's deviation over each sample (Lin et al. 2024, Eq. 15 and 16).

    Args:
        guided, conditional: [b, n] of one modality.
        share: 0: as it is, 1: the deviation of the conditional prediction; the paper takes 0.7.
    """
    factor = conditional.std(dim=1, keepdim=True) / guided.std(dim=1, keepdim=True)
    return guided * (share * factor + 1 - share)


def acts_at(timestep: float, interval: tuple[float, float], num_timesteps: int) -> bool:
    """Whether guidance acts at t (Kynkaanniemi et al. 2024: neither in the noisiest steps nor in the last ones).

    Args:
        interval: (from, to) as shares of the way, 0: the latents, 1: pure noise; both ends count.
    """
    return interval[0] <= timestep / num_timesteps <= interval[1]
