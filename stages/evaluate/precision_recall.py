"""Precision, recall and coverage of one feature cloud against another, by nearest neighbours.

Precision and recall: Kynkaanniemi et al. 2019 (share of samples inside the reference's manifold, and the other way round; the
manifold is the union of balls around each row that reach to its k-th neighbour). Coverage: Naeem et al. 2020 (share of reference
rows whose ball holds a sample), which no single outlier of the samples can raise.
"""

from dataclasses import dataclass

import numpy as np

NEIGHBOURS = 5
"""k; Naeem et al. use 5, Kynkaanniemi et al. 3."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """Each in [0, 1]."""

    precision: np.ndarray
    """bool [n]: the sample lies in the reference's manifold."""
    recall: np.ndarray
    """bool [m]: the reference row lies in the samples' manifold."""
    coverage: np.ndarray
    """bool [m]: the reference row's ball holds a sample."""


def likeness(samples: np.ndarray, reference: np.ndarray, neighbours: int = NEIGHBOURS) -> Likeness:
    """Which rows of two clouds lie within each other's manifold.

    Args:
        samples: [n, d] finite features.
        reference: [m, d].
        neighbours: k; n and m must be more.

    Raises:
        ValueError: too few rows.
    """
    samples, reference = np.asarray(samples, np.float64), np.asarray(reference, np.float64)
    if min(len(samples), len(reference)) <= neighbours:
        raise ValueError(f"precision and recall need more than {neighbours} rows on either side, got {len(samples)} and {len(reference)}")
    across = squared_distances(samples, reference)
    sample_radii, reference_radii = _radii(samples, neighbours), _radii(reference, neighbours)
    inside = across <= reference_radii[None]
    reached = across <= sample_radii[:, None]
    return Likeness(precision=np.any(inside, axis=1), recall=np.any(reached, axis=0), coverage=np.any(inside, axis=0))


def squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """|x_i - y_j|^2, [n, m]; never below 0."""
    middle = y.mean(0)  # centring keeps the digits that the difference of large squares would lose
    x, y = x - middle, y - middle
    return np.maximum((x ** 2).sum(1)[:, None] + (y ** 2).sum(1)[None] - 2 * (x @ y.T), 0.0)


def _radii(rows: np.ndarray, neighbours: int) -> np.ndarray:
    """Squared distance of each row to its k-th neighbour, [n]; itself is not one."""
    distances = squared_distances(rows, rows)
    np.fill_diagonal(distances, 0.0)
    return np.partition(distances, neighbours, axis=1)[:, neighbours]
