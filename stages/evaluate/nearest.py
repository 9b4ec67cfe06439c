"""The nearest rows of a large set, one of each source: the training clip that a sample may be a copy of, and how near the others are.

Legend: n queries, m rows of the large set, d numbers a row, k sources that are remembered.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from stages.evaluate.precision_recall import squared_distances

NEIGHBOURS = 10
"""Sources whose distance says what is usual around a sample, as Carlini et al. 2023 set a copy's distance against a neighbourhood's."""
BLOCK_ROWS = 2048


@dataclass(frozen=True, slots=True)
class Nearest:
    """Of each query."""

    rows: np.ndarray
    """int64 [n]: the nearest row of the large set."""
    distances: np.ndarray
    """float64 [n]: its Euclidean distance."""
    ratios: np.ndarray
    """float64 [n]: that distance over the mean distance of the nearest rows of the next NEIGHBOURS sources (or as many as there are):
    about 1 amid many that are equally near, near 0 for a copy; 1 where all of them are at no distance."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What lies nearest to each window of a set."""

    names: Sequence[str]
    """Of the windows."""
    keys: Sequence[str]
    """Of each one's nearest training window."""
    found: Nearest


def nearest(queries: np.ndarray, blocks: Iterable[tuple[np.ndarray, Sequence[str]]], neighbours: int = NEIGHBOURS) -> Nearest:
    """The nearest rows, as products of blocks: memory for one block at a time.

    Args:
        queries: [n, d], finite.
        blocks: the large set, in pieces of (rows [b, d], source of each row); rows of a source follow one another, in one block.
        neighbours: sources beside the nearest one that make up the neighbourhood.

    Raises:
        ValueError: fewer than two sources.
    """
    best = np.full((len(queries), neighbours + 1), np.inf)
    places = np.zeros((len(queries), neighbours + 1), np.int64)
    first, count = 0, 0
    for rows, sources in blocks:
        distances = squared_distances(queries, rows)                                         # (n, b)
        starts = [0, *(i for i in range(1, len(sources)) if sources[i] != sources[i - 1])]
        groups = np.split(distances, starts[1:], axis=1)
        found = np.stack([group.min(1) for group in groups], axis=1)                         # (n, sources of the block)
        at = np.stack([group.argmin(1) + start for group, start in zip(groups, starts, strict=True)], axis=1) + first
        both, both_places = np.concatenate([best, found], axis=1), np.concatenate([places, at], axis=1)
        kept = np.argsort(both, axis=1, kind="stable")[:, :neighbours + 1]
        best, places = np.take_along_axis(both, kept, axis=1), np.take_along_axis(both_places, kept, axis=1)
        first, count = first + len(rows), count + len(starts)
    if count < 2:
        raise ValueError(f"what is near needs rows of two sources or more, got {count}")
    roots = np.sqrt(best[:, :min(count, neighbours + 1)])
    around = roots[:, 1:].mean(1)
    ratios = np.divide(roots[:, 0], around, out=np.ones(len(roots)), where=around > 0)
    return Nearest(places[:, 0], roots[:, 0], ratios)


def blocks_of(rows: np.ndarray, sources: Sequence[str], order: np.ndarray) -> Iterable[tuple[np.ndarray, Sequence[str]]]:
    """A set that is in memory, in blocks of whole sources.

    Args:
        rows: [m, d].
        sources: of each row.
        order: int [m], puts rows of a source beside one another: `np.argsort(sources, kind="stable")`.
    """
    names = np.asarray(sources)[order]
    edges = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1), len(names)]
    begin = 0
    for edge, following in zip(edges[1:], [*edges[2:], None], strict=True):
        if following is None or following - begin > BLOCK_ROWS:
            yield rows[order[begin:edge]], names[begin:edge].tolist()
            begin = edge
