"""Confidence intervals by redrawing whole sources, seeded: windows of one video are no independent witnesses.

A redrawn set is given as multiplicities (how often each row counts), so that a distance can be computed from what it already has
(kernel matrices, sums) and a row drawn twice is never taken for two pieces of evidence.
"""

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.seeds import derive_seed

LEVEL = 0.95
MIN_SOURCES = 3
"""With fewer there is nothing to redraw: of two, only the set itself has both."""


def multiplicities(groups: Sequence[object], replicates: int, seed: int, name: str) -> np.ndarray:
    """How often each row counts in each redrawn set: the groups are drawn with replacement, as many as there are.

    Args:
        groups: of each row, what it belongs to (its source video, or the sample itself).
        replicates: number of redrawn sets.
        seed: root seed.
        name: of the set, so that two sets are redrawn independently.

    Returns:
        int64 [replicates, n]; every set has two different groups or more where there are two, as a covariance needs.
    """
    _, members = np.unique(np.array([str(group) for group in groups]), return_inverse=True)
    count = int(members.max()) + 1 if len(members) else 0
    random = np.random.default_rng(derive_seed(seed, "evaluate", "bootstrap", name))
    drawn = np.zeros((replicates, count), np.int64)
    for row in drawn:
        while True:
            row[:] = np.bincount(random.integers(count, size=count), minlength=count)
            if count < 2 or np.count_nonzero(row) > 1:
                break
    return drawn[:, members]


def interval(value: float, redrawn: Sequence[float] | np.ndarray, bounds: tuple[float, float] = (-np.inf, np.inf)) -> tuple[float, float]:
    """Lower and upper end of the 95% interval around `value`.

    The spread of the redrawn values is laid around the value itself: a redrawn set has fewer different rows, which alone moves a
    Frechet distance upwards, so plain percentiles would often leave out the very figure that they belong to. What bias the figure
    has from the number of samples stays in it, as it does in its floor.

    Args:
        redrawn: the figure of each redrawn set; values that are not finite are left out.
        bounds: smallest and largest value that the figure can have.

    Returns:
        (nan, nan) when fewer than two redrawn values are finite.
    """
    values = np.asarray(redrawn, np.float64)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return np.nan, np.nan
    low, high = np.quantile(values - values.mean(), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(max(value + low, bounds[0])), float(min(value + high, bounds[1]))


def mean_interval(values: np.ndarray, groups: Sequence[object], replicates: int, seed: int,
                  bounds: tuple[float, float] = (-np.inf, np.inf)) -> tuple[float, float]:
    """The interval of a mean of `values` [n]; (nan, nan) for fewer than `MIN_SOURCES` groups, as for all intervals below."""
    if len(set(groups)) < MIN_SOURCES:
        return np.nan, np.nan
    counts = multiplicities(groups, replicates, seed, "mean")
    return interval(float(np.mean(values)), (counts @ values) / counts.sum(1), bounds)


def ratio_interval(parts: np.ndarray, wholes: np.ndarray, groups: Sequence[object], replicates: int, seed: int,
                   bounds: tuple[float, float] = (0.0, 1.0)) -> tuple[float, float]:
    """The interval of sum(parts) / sum(wholes), counts pooled over clips, both [n]."""
    if len(set(groups)) < MIN_SOURCES:
        return np.nan, np.nan
    counts = multiplicities(groups, replicates, seed, "ratio")
    with np.errstate(invalid="ignore", divide="ignore"):
        return interval(float(parts.sum() / wholes.sum()), (counts @ parts) / (counts @ wholes), bounds)


def two_set_interval(value: float, statistic: Callable[[np.ndarray, np.ndarray], float], groups_x: Sequence[object],
                     groups_y: Sequence[object], replicates: int, seed: int,
                     bounds: tuple[float, float] = (-np.inf, np.inf)) -> tuple[float, float]:
    """The interval of a statistic of two sets, both redrawn.

    Args:
        statistic: takes the multiplicities int64 [n] and [m].
        groups_x: of each row of the first set.
        groups_y: of the second; the same object as `groups_x` when row i of one belongs to row i of the other: redrawn together.
    """
    if min(len(set(groups_x)), len(set(groups_y))) < MIN_SOURCES:
        return np.nan, np.nan
    counts_x = multiplicities(groups_x, replicates, seed, "x")
    counts_y = counts_x if groups_y is groups_x else multiplicities(groups_y, replicates, seed, "y")
    return interval(value, [statistic(a, b) for a, b in zip(counts_x, counts_y, strict=True)], bounds)
