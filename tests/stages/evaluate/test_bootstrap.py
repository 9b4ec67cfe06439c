"""Intervals: seeded, by source, and wide enough. `pytest tests/stages/evaluate/test_bootstrap.py`"""

import numpy as np
import pytest

from stages.evaluate.bootstrap import interval, mean_interval, multiplicities, ratio_interval, two_set_interval
from stages.evaluate.frechet import frechet_distance


def test_windows_of_a_source_are_drawn_together_and_the_seed_decides() -> None:
    counts = multiplicities(["a", "a", "b", "c", "c", "c"], 40, 7, "x")
    assert counts.shape == (40, 6)
    assert (counts[:, 0] == counts[:, 1]).all() and (counts[:, 3] == counts[:, 4]).all() and (counts[:, 4] == counts[:, 5]).all()
    assert (counts[:, [0, 2, 3]].sum(1) == 3).all()
    assert np.array_equal(counts, multiplicities(["a", "a", "b", "c", "c", "c"], 40, 7, "x"))
    assert not np.array_equal(counts, multiplicities(["a", "a", "b", "c", "c", "c"], 40, 8, "x"))
    assert not np.array_equal(counts, multiplicities(["a", "a", "b", "c", "c", "c"], 40, 7, "y"))
    assert (np.count_nonzero(multiplicities(["a", "b"], 50, 1, "x"), axis=1) == 2).all()


def test_the_interval_of_a_mean_is_that_of_the_textbook() -> None:
    values = np.random.default_rng(0).normal(3, 2, 400)
    low, high = mean_interval(values, range(400), 4000, 1)
    half = 1.96 * values.std(ddof=1) / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_repeated_windows_of_a_source_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(0).normal(size=20)
    once = mean_interval(values, range(20), 2000, 1)
    tenfold = mean_interval(np.repeat(values, 10), np.repeat(np.arange(20), 10).tolist(), 2000, 1)
    naive = mean_interval(np.repeat(values, 10), range(200), 2000, 1)
    assert np.diff(tenfold) == pytest.approx(np.diff(once), rel=0.05)
    assert np.diff(naive) < 0.5 * np.diff(once)


def test_the_interval_of_a_frechet_distance_covers_what_another_draw_would_give() -> None:
    random = np.random.default_rng(0)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        return random.normal(size=(40, 6)), random.normal(0.4, 1.2, size=(60, 6))

    expected = np.mean([frechet_distance(*draw()) for _ in range(400)])  # at this number of samples, bias included
    covered = 0
    for _ in range(60):
        x, y = draw()

        def redrawn(a: np.ndarray, b: np.ndarray, x: np.ndarray = x, y: np.ndarray = y) -> float:
            return frechet_distance(x, y, a, b)

        low, high = two_set_interval(frechet_distance(x, y), redrawn, range(40), range(60), 60, 3)
        covered += low <= expected <= high
    assert covered >= 0.85 * 60


def test_paired_sets_are_redrawn_together() -> None:
    groups = list(range(12))
    found: list[bool] = []

    def statistic(a: np.ndarray, b: np.ndarray) -> float:
        found.append(bool((a == b).all()))
        return 0.0

    two_set_interval(0.0, statistic, groups, groups, 5, 1)
    assert all(found)
    two_set_interval(0.0, statistic, groups, list(groups), 5, 1)
    assert not all(found)


def test_shares_stay_between_0_and_1_and_nothing_finite_is_no_interval() -> None:
    low, high = ratio_interval(np.array([9, 10, 10]), np.array([10, 10, 10]), "abc", 500, 1)
    assert 0.8 < low < 29 / 30 and high <= 1
    assert all(np.isnan(interval(1.0, [np.nan, np.nan, 3.0])))


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_sources_have_no_interval_rather_than_one_of_no_width(count: int) -> None:
    values, groups = np.array([0.0, 1.0, 1.0, 0.0][:2 * count]), ["a", "a", "b", "b"][:2 * count]
    assert np.isnan(mean_interval(values, groups, 50, 1)).all()
    assert np.isnan(ratio_interval(values, values + 1, groups, 50, 1)).all()
    assert np.isnan(two_set_interval(0.0, lambda a, b: float(a.sum() + b.sum()), groups, list("abcd"), 50, 1)).all()
