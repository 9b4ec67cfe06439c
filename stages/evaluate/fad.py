"""Frechet audio distance beyond the one number of a set: of each sample alone, and extrapolated to infinitely many samples.

Gui et al. 2024 (fadtk): FAD-infinity is the intercept of a straight line through FAD over 1/n, which takes out the bias of small
sets; the per-sample FAD compares the windows of one recording with the whole reference and finds the outliers. CMMD publishes the
set's and the mean of the samples'. Here the smaller sets are drawn without replacement, so that the largest is the set itself.
"""

import numpy as np

from pipeline.seeds import derive_seed
from stages.evaluate.frechet import frechet_distance

STEPS = 25
MIN_ROWS = 500
"""Smallest subset of the extrapolation; below it the line is bent."""


def fad_infinity(samples: np.ndarray, reference: np.ndarray, seed: int, steps: int = STEPS, min_rows: int = MIN_ROWS) -> float:
    """FAD extrapolated to 1/n = 0.

    Args:
        samples: [n, d] features, n at least twice `min_rows`.
        reference: [m, d].
        seed: root seed of the subsets.
        steps: subset sizes between `min_rows` and n.

    Raises:
        ValueError: too few samples for a line.
    """
    if len(samples) < 2 * min_rows:
        raise ValueError(f"FAD-infinity needs {2 * min_rows} rows, got {len(samples)}")
    sizes = np.unique(np.linspace(min_rows, len(samples), steps).round().astype(int))
    found = []
    for size in sizes:
        random = np.random.default_rng(derive_seed(seed, "evaluate", "fad-infinity", int(size)))
        found.append(frechet_distance(samples[random.choice(len(samples), int(size), replace=False)], reference))
    return float(np.polyfit(1 / sizes, found, 1)[1])


def per_sample_fad(samples: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Frechet distance of each sample's own windows to the reference, [n].

    Args:
        samples: [n, k, d]: k windows of each sample. One window is a Gaussian without spread, so that clips as short as one window
            differ by their means alone.
        reference: [m, d], m >= 2.
    """
    samples, reference = np.asarray(samples, np.float64), np.asarray(reference, np.float64)
    if samples.shape[1] > 1:
        return np.array([frechet_distance(sample, reference) for sample in samples])
    spread = reference.var(0, ddof=1).sum()
    return ((samples[:, 0] - reference.mean(0)) ** 2).sum(1) + spread
