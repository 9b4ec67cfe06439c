"""Classifier-free guidance (Eq. 9)."""

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
