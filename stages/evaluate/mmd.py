"""Kernel distance: unbiased squared maximum mean discrepancy with the cubic kernel, the number behind KVD.

k(x, y) = (gamma x.y + coef)^degree, degree 3, gamma 1/d, coef 1   (Binkowski et al. 2018; no factor of 100)
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Kernels:
    """Kernel matrices of two sets, computed once; the distance of any resampling of the sets follows from them."""

    xx: np.ndarray
    """[n, n], zero on the diagonal: a point is no evidence about its own distribution."""
    yy: np.ndarray
    """[m, m], likewise."""
    xy: np.ndarray
    """[n, m]."""

    def mmd(self, weights_x: np.ndarray | None = None, weights_y: np.ndarray | None = None) -> float:
        """Unbiased MMD^2; a row that counts twice (int [n], [m]) is still no evidence about itself."""
        if weights_x is None or weights_y is None:
            n, m = self.xy.shape
            return float(self.xx.sum() / (n * (n - 1)) + self.yy.sum() / (m * (m - 1)) - 2 * self.xy.mean())
        a, b = weights_x.astype(np.float64), weights_y.astype(np.float64)
        within_x = a @ self.xx @ a / max(a.sum() ** 2 - (a ** 2).sum(), 1.0)
        within_y = b @ self.yy @ b / max(b.sum() ** 2 - (b ** 2).sum(), 1.0)
        return float(within_x + within_y - 2 * (a @ self.xy @ b) / (a.sum() * b.sum()))


def polynomial_kernels(x: np.ndarray, y: np.ndarray, degree: int = 3, gamma: float | None = None, coef: float = 1.0) -> Kernels:
    """The kernel matrices of two feature sets, in float64; arguments as for `polynomial_mmd`."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(f"the kernel distance needs [n, d] and [m, d] with n, m of 2 or more, got {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("the kernel distance needs finite features")
    scale = 1.0 / x.shape[1] if gamma is None else gamma

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        values = a @ b.T
        values *= scale
        values += coef
        power = values.copy()
        for _ in range(degree - 1):  # five times as fast as the power of a float
            power *= values
        return power

    xx, yy = kernel(x, x), kernel(y, y)
    np.fill_diagonal(xx, 0.0)
    np.fill_diagonal(yy, 0.0)
    return Kernels(xx, yy, kernel(x, y))


def polynomial_mmd(x: np.ndarray, y: np.ndarray, degree: int = 3, gamma: float | None = None, coef: float = 1.0) -> float:
    """Unbiased MMD^2 of two feature sets, in float64.

    Args:
        x: [n, d] features, n >= 2.
        y: [m, d] features, m >= 2.
        gamma: scale of the dot product; None: 1/d.

    Returns:
        Around 0 for sets of one distribution, and then as often below zero as above; exactly 0 is no special value. The very same
        array on both sides gives less than 0, as each row then meets itself across the sets.

    Raises:
        ValueError: shapes that cannot be compared, or values that are not finite.
    """
    return polynomial_kernels(x, y, degree, gamma, coef).mmd()
