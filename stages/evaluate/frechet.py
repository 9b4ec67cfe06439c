"""Frechet distance between two clouds of features, each taken as a Gaussian: the number behind FVD, FD and FAD.

d^2 = |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2)   (Dowson and Landau 1982; Unterthiner et al. 2018 for video)

tr (S1 S2)^1/2 is the sum of the singular values of R1 R2^T for any R with S = R^T R, the centred rows themselves among them. So no
covariance is formed and no matrix root taken: real and not negative whatever the ranks, without the offset on the diagonal or the
complex square root (half of the digits) that other implementations need for a covariance without full rank.
"""

import numpy as np
import scipy.linalg


def frechet_distance(x: np.ndarray, y: np.ndarray, weights_x: np.ndarray | None = None, weights_y: np.ndarray | None = None) -> float:
    """Squared Frechet distance of two feature sets, in float64.

    Args:
        x: [n, d] features, n >= 2; fewer rows than columns are allowed (the covariance then lacks full rank, see `rank_note`).
        y: [m, d] features, m >= 2.
        weights_x: how often each row of x counts, int [n], for resampling; None: once.
        weights_y: likewise, [m].

    Returns:
        0 or more, 0 for identical sets; biased upwards when n or m is small, so it is read beside a floor of equal size.

    Raises:
        ValueError: shapes that cannot be compared, or values that are not finite.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(f"the Frechet distance needs [n, d] and [m, d] with n, m of 2 or more, got {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("the Frechet distance needs finite features")
    mean_x, root_x = _mean_and_root(x, weights_x)
    mean_y, root_y = _mean_and_root(y, weights_y)
    return _distance(mean_x, root_x, mean_y, root_y)


def gaussian_frechet_distance(mean_x: np.ndarray, cov_x: np.ndarray, mean_y: np.ndarray, cov_y: np.ndarray) -> float:
    """Squared Frechet distance of N(mean_x, cov_x) and N(mean_y, cov_y); means [d], covariances [d, d]."""
    if not all(np.isfinite(part).all() for part in (mean_x, cov_x, mean_y, cov_y)):
        raise ValueError("the Frechet distance needs finite features")
    return _distance(mean_x, _symmetric_root(cov_x), mean_y, _symmetric_root(cov_y))


def rank_note(x: np.ndarray, name: str) -> str:
    """What to say of a covariance without full rank, "" for one that has it.

    Args:
        x: [n, d] features.
        name: "samples", "reference".
    """
    count, width = x.shape
    if count - 1 < width:
        return f"covariance of {name} has rank {count - 1} at most of {width} (fewer rows than features), no offset added"
    centred = x - x.mean(0)
    found = int(np.linalg.matrix_rank(np.linalg.qr(centred, mode="r")))
    return "" if found == width else f"covariance of {name} has rank {found} of {width}, no offset added"


def _distance(mean_x: np.ndarray, root_x: np.ndarray, mean_y: np.ndarray, root_y: np.ndarray) -> float:
    """From means [d] and roots R [any, d] of the covariances R^T R."""
    traces = np.sum(root_x ** 2) + np.sum(root_y ** 2)
    distance = np.sum((mean_x - mean_y) ** 2) + traces - 2 * scipy.linalg.svdvals(root_x @ root_y.T, check_finite=False).sum()
    rounding = len(mean_x) * np.finfo(np.float64).eps * traces  # equal sets end a rounding beside zero
    return float(distance) if distance > rounding else 0.0


def _mean_and_root(x: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Mean [d], and R [at most d rows, d] with R^T R the unbiased covariance."""
    if weights is None:
        count, mean = len(x), x.mean(0)
        root = (x - mean) / np.sqrt(count - 1)
    else:
        x, weights = x[weights > 0], weights[weights > 0].astype(np.float64)
        count = int(weights.sum())
        mean = weights @ x / count
        root = np.sqrt(weights / max(count - 1, 1))[:, None] * (x - mean)
    if len(root) > root.shape[1]:
        root = np.asarray(np.linalg.qr(root, mode="r"))
    return mean, root


def _symmetric_root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = scipy.linalg.eigh(matrix)
    rounding = len(values) * np.finfo(np.float64).eps * max(values.max(), 0.0)
    return (vectors * np.sqrt(np.where(values > rounding, values, 0.0))) @ vectors.T
