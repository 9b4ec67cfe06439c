"""Seconds of the distances at the field's sizes, beside scipy's matrix root (the rival): python -m tests.benchmarks.distances

The promise: each size under 5 seconds. Threads as in the environment (OMP_NUM_THREADS).
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import scipy.linalg

from stages.evaluate.frechet import frechet_distance
from stages.evaluate.mmd import polynomial_mmd
from stages.evaluate.precision_recall import likeness


def by_scipy(x: np.ndarray, y: np.ndarray) -> float:
    """The Frechet distance as most programs compute it."""
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = scipy.linalg.sqrtm(cov_x @ cov_y)
    return float(((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cov_x + cov_y) - 2 * np.trace(root).real)


def seconds(function: Callable[[np.ndarray, np.ndarray], object], x: np.ndarray, y: np.ndarray) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    function(x, y)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--widths", type=int, nargs="+", default=[400, 2048])
    parser.add_argument("--rival", action="store_true", help="time scipy's matrix root too (a minute at 2048 features)")
    chosen = parser.parse_args()
    titles = [f"{name:>13}" for name in ("frechet", "kernel", "prec./recall", "all", *(["scipy"] if chosen.rival else []))]
    print(f"{'rows x features':<18}{''.join(titles)}")
    for width in chosen.widths:
        random = np.random.default_rng(0)
        x, y = random.normal(size=(chosen.rows, width)), random.normal(0.1, 1.1, size=(chosen.rows, width))
        found = [seconds(function, x, y) for function in (frechet_distance, polynomial_mmd, likeness)]
        found += [sum(found), *([seconds(by_scipy, x, y)] if chosen.rival else [])]
        print(f"{f'{chosen.rows} x {width}':<18}{''.join(f'{value:>13.2f}' for value in found)}")


if __name__ == "__main__":
    main()
