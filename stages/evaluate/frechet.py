"""Frechet distance between two clouds of features, each taken as a Gaussian: the number behind FVD and FAD.

d^2 = |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2)   (Dowson and Landau 1982; Unterthiner et al. 2018 for video)
"""

import numpy as np
import scipy.linalg


def frechet_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Squared Frechet distance of two feature sets, in float64.

    Args:
        x: [n, d] features, n >= 2; fewer rows than columns are allowed (the covariance then lacks full rank).
        y: [m, d] features, m >= 2.

    Returns:
        0 or more; biased upwards when n or m is small, so it is read beside a floor of equal size.

    Raises:
        ValueError: shapes that cannot be compared, or values that are not finite.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(f"the Frechet distance needs [n, d] and [m, d] with n, m of 2 or more, got {x.shape} and {y.shape}")
    return gaussian_frechet_distance(x.mean(0), _covariance(x), y.mean(0), _covariance(y))


def gaussian_frechet_distance(mean_x: np.ndarray, cov_x: np.ndarray, mean_y: np.ndarray, cov_y: np.ndarray) -> float:
    """Squared Frechet distance of N(mean_x, cov_x) and N(mean_y, cov_y); means [d], covariances [d, d]."""
    if not all(np.isfinite(part).all() for part in (mean_x, cov_x, mean_y, cov_y)):
        raise ValueError("the Frechet distance needs finite features")
    # tr (S1 S2)^1/2 is the sum of the singular values of S1^1/2 S2^1/2: real and not negative whatever the ranks, so covariances
    # without full rank need neither an offset on the diagonal nor a complex square root that loses half of the digits.
    trace_of_root = scipy.linalg.svdvals(_symmetric_root(cov_x) @ _symmetric_root(cov_y)).sum()
    distance = np.sum((mean_x - mean_y) ** 2) + np.trace(cov_x) + np.trace(cov_y) - 2 * trace_of_root
    return float(max(distance, 0.0))  # equal sets may end a rounding below zero


def _covariance(x: np.ndarray) -> np.ndarray:
    return np.atleast_2d(np.cov(x, rowvar=False))


def _symmetric_root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = scipy.linalg.eigh(matrix)
    rounding = len(values) * np.finfo(np.float64).eps * max(values.max(), 0.0)
    return (vectors * np.sqrt(np.where(values > rounding, values, 0.0))) @ vectors.T
