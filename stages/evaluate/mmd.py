"""Kernel distance: unbiased squared maximum mean discrepancy with the cubic kernel, the number behind KVD.

k(x, y) = (gamma x.y + coef)^degree, degree 3, gamma 1/d, coef 1   (Binkowski et al. 2018; no factor of 100)
"""

import numpy as np


def polynomial_mmd(x: np.ndarray, y: np.ndarray, degree: int = 3, gamma: float | None = None, coef: float = 1.0) -> float:
    """Unbiased MMD^2 of two feature sets, in float64.

    Args:
        x: [n, d] features, n >= 2.
        y: [m, d] features, m >= 2.
        gamma: scale of the dot product; None: 1/d.

    Returns:
        Around 0 for sets of one distribution, and then as often below zero as above.

    Raises:
        ValueError: shapes that cannot be compared, or values that are not finite.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(f"the kernel distance needs [n, d] and [m, d] with n, m of 2 or more, got {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("the kernel distance needs finite features")
    scale = 1.0 / x.shape[1] if gamma is None else gamma

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (scale * (a @ b.T) + coef) ** degree

    n, m = len(x), len(y)
    k_xx, k_yy = kernel(x, x), kernel(y, y)
    # A point is no evidence about its own distribution: the diagonals are left out.
    within_x = (k_xx.sum() - np.trace(k_xx)) / (n * (n - 1))
    within_y = (k_yy.sum() - np.trace(k_yy)) / (m * (m - 1))
    return float(within_x + within_y - 2 * kernel(x, y).mean())
