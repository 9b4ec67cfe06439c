"""Scores of pairs of picture and sound as shares, pooled over clips, and how far true pairs stand above wrong ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Shares:
    """Of each pair, how much of how much; both float [n]."""

    parts: np.ndarray
    """Hits, or the pair's score."""
    wholes: np.ndarray
    """Events that could be hit, or 1; 0 for a pair that has no score."""

    @property
    def pooled(self) -> float:
        """Sum of parts over sum of wholes; nan when there is nothing to hit."""
        return float(self.parts.sum() / self.wholes.sum()) if self.wholes.sum() else float("nan")

    @property
    def each(self) -> np.ndarray:
        """The share of each pair that has one."""
        some = self.wholes > 0
        return self.parts[some] / self.wholes[some]


def shares(pairs: Sequence[tuple[float, float]]) -> Shares:
    """From (part, whole) of each pair."""
    table = np.array(pairs, np.float64).reshape(-1, 2)
    return Shares(table[:, 0], table[:, 1])


def effect_size(true: Shares, wrong: Shares) -> float:
    """Cohen's d: how many standard deviations of a single pair the true pairs stand above the wrong ones; nan when there is no spread.

    0.2 is called small, 0.8 large.
    """
    one, other = true.each, wrong.each
    if min(len(one), len(other)) < 2:
        return float("nan")
    spread = np.sqrt((one.var(ddof=1) * (len(one) - 1) + other.var(ddof=1) * (len(other) - 1)) / (len(one) + len(other) - 2))
    return float((one.mean() - other.mean()) / spread) if spread else float("nan")
