"""FVD, KVD and FAD under the name of their extractor, each with its interval and the same distance between real clips at equal size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from pipeline.contracts.window_sets import WindowSet
from stages.evaluate.bootstrap import two_set_interval
from stages.evaluate.evaluation import Evaluation, Group
from stages.evaluate.extractors.catalogue import AbsentExtractor
from stages.evaluate.extractors.extractor import Extractor
from stages.evaluate.figures import Figure, NotComputable
from stages.evaluate.frechet import frechet_distance, rank_note
from stages.evaluate.mmd import polynomial_kernels, polynomial_mmd
from stages.evaluate.windows import sources

Against = str
"""Key of AGAINST."""
AGAINST: Mapping[Against, tuple[str, str]] = {"test": ("", ""), "train": ("", "_to_train"), "originals": ("r", "")}
"""What samples are compared with -> beginning and ending of the figures' names."""
KERNEL_DISTANCES = ("kvd",)
"""Metrics that are kernel distances; the others are Frechet distances."""
ORIGINALS = "their own originals, held out"
FLOOR_KIND = "real against real, equal counts"


@dataclass(frozen=True, slots=True)
class Rows:
    """Features of one set, a row for each part of a window that the network took in (mostly one)."""

    features: np.ndarray
    """[r, d]."""
    sources: Sequence[str]
    """Of each row, what it belongs to; the bootstrap draws these."""
    names: Sequence[str]
    """Of each window."""

    @property
    def windows(self) -> int:
        """How many windows the rows are of."""
        return len(self.names)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared with what."""

    samples: Rows
    reference: Rows
    floor: tuple[np.ndarray, np.ndarray] | None
    """Features of real clips in the samples' place, and of what they are compared with; None: there are too few."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many windows are needed and wanted, and how often sets are redrawn."""

    min_samples: int
    """Fewest on either side."""
    wanted: int
    """Samples of the protocol; a figure of fewer says so."""
    replicates: int
    """Redrawn sets behind an interval."""


def measure(evaluation: Evaluation, group: Group) -> None:
    """fvd_x, kvd_x, fad_x of samples to held-out clips and (`..._to_train`) to those learnt from; rfvd_x, ... of reconstructions."""
    if group.task == "real":
        return  # what real clips get is the floor of every other task
    references = ("originals",) if group.originals_are_targets else evaluation.protocol.references
    for against in references:
        for absent in evaluation.absent(group.modalities):
            evaluation.figures.miss(replace(evaluation.template(group.task), extractor=absent.name), metric_names(absent, against),
                                    absent.reason)
        for extractor in evaluation.extractors(group.modalities):
            template = evaluation.template(group.task, extractor, _says(evaluation, group, against))
            evaluation.figures.add(template, metric_names(extractor, against),
                                   partial(_figures, evaluation, group, extractor, against, template))


def metric_names(extractor: Extractor | AbsentExtractor, against: Against = "test") -> list[str]:
    """Names of the distances of an extractor: ["fvd_local", "kvd_local"]."""
    prefix, ending = AGAINST[against]
    return [f"{prefix}{metric}_{extractor.name}{ending}" for metric in extractor.metrics]


def distance_figures(compared: Comparison, template: Figure, names: Sequence[str], counts: Counts, seed: int,
                     scale: float = 1.0) -> list[Figure]:
    """The distances `names`, with floor and interval.

    Args:
        scale: by which Frechet distances are multiplied.

    Raises:
        NotComputable: too few windows on a side, or features that are not finite.
    """
    samples, reference = compared.samples, compared.reference
    require_enough(samples, reference, counts.min_samples)
    few = f"{samples.windows} samples, the protocol has {counts.wanted}" if samples.windows < counts.wanted else ""
    made = []
    for name in names:
        kernel = name.lstrip("r").startswith(KERNEL_DISTANCES)
        statistic: Callable[[np.ndarray | None, np.ndarray | None], float] = (
            polynomial_kernels(samples.features, reference.features).mmd if kernel
            else partial(frechet_distance, samples.features, reference.features))
        value, times = statistic(None, None), 1.0 if kernel else scale
        floor = None if compared.floor is None else (polynomial_mmd if kernel else frechet_distance)(*compared.floor) * times
        low, high = two_set_interval(value, statistic, samples.sources, reference.sources, counts.replicates, seed,
                                     bounds=(-np.inf, np.inf) if kernel else (0.0, np.inf))
        ranks = [] if kernel else [rank_note(samples.features, "samples"), rank_note(reference.features, "reference")]
        noted = replace(template, note="; ".join(text for text in (few, template.note, *ranks) if text))
        made.append(noted.with_value(name, value * times, floor, FLOOR_KIND, samples.windows, reference.windows,
                                     (low * times, high * times)))
    return made


def require_enough(samples: Rows, reference: Rows, min_samples: int) -> None:
    """Raises NotComputable when a distance would say more about the counts than about the samples."""
    if samples.windows < min_samples:
        raise NotComputable(f"needs {min_samples} samples (evaluate.min_samples), there are {samples.windows}; raise sample.num_samples")
    if reference.windows < min_samples:
        raise NotComputable(f"needs {min_samples} reference windows (evaluate.min_samples), there are {reference.windows}; "
                            "add clips, or raise inventory.test_share")
    for rows, whose in ((samples, "samples"), (reference, "reference windows")):
        wrong = np.flatnonzero(~np.isfinite(rows.features).all(1)) // max(1, len(rows.features) // max(1, rows.windows))
        if len(wrong):
            names = sorted({rows.names[int(row)] for row in wrong})
            raise NotComputable(f"needs finite features; those of {len(names)} {whose} are not ({', '.join(names[:3])}); look at them")


def rows_of(features: np.ndarray, windows: WindowSet) -> Rows:
    """The rows of features [n, d] or [n, k, d] of n windows."""
    parts = features.shape[1] if features.ndim == 3 else 1
    return Rows(features.reshape(-1, features.shape[-1]), [source for source in sources(windows) for _ in range(parts)], windows.names)


def floor_of(others: np.ndarray, reference: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray] | None:
    """As many real windows as there are samples, beside what they are compared with; None rather than a floor of another size.

    The floor of reconstructions says how far new clips are from each other: a value under it means that they are nearer to their originals.

    Args:
        others: [n, d] or [n, k, d].
        reference: likewise.

    Returns:
        Rows [r, d] of both.
    """
    if not len(others) >= count >= 2 or len(reference) < 2:
        return None
    return others[:count].reshape(-1, others.shape[-1]), reference.reshape(-1, reference.shape[-1])


def _figures(evaluation: Evaluation, group: Group, extractor: Extractor, against: Against, template: Figure) -> list[Figure]:
    counts = Counts(evaluation.min_samples, evaluation.protocol.samples, evaluation.protocol.replicates)
    template = replace(template, note=evaluation.oddities(extractor, group.windows, _reference(evaluation, group, against)))
    return distance_figures(_comparison(evaluation, group, extractor, against), template, metric_names(extractor, against), counts,
                            evaluation.seed, extractor.scale)


def _reference(evaluation: Evaluation, group: Group, against: Against) -> WindowSet:
    """What the samples are compared with."""
    if group.originals is not None and against == "originals":
        return group.originals
    windows = evaluation.real.reference if against == "test" else evaluation.real.training
    if not len(windows):
        raise NotComputable(evaluation.real.missing[against])
    return windows


def _comparison(evaluation: Evaluation, group: Group, extractor: Extractor, against: Against) -> Comparison:
    real, windows = evaluation.real, _reference(evaluation, group, against)
    samples = rows_of(evaluation.features(extractor, group.windows), group.windows)
    others = evaluation.features(extractor, real.floor)
    if windows is group.originals:
        own = rows_of(evaluation.features(extractor, windows), windows)
        # The same object as sources: row i of one belongs to row i of the other, and they are redrawn together.
        beside = evaluation.features(extractor, real.reference)[:samples.windows]
        return Comparison(samples, replace(own, sources=samples.sources), floor_of(others, beside, samples.windows))
    compared_with = evaluation.features(extractor, windows)
    return Comparison(samples, rows_of(compared_with, windows), floor_of(others, compared_with, samples.windows))


def _says(evaluation: Evaluation, group: Group, against: Against) -> str:
    if against == "originals":
        return ORIGINALS
    shared = "; about half of the conditions come from these sources, the floor's do not" if against == "test" and group.originals else ""
    return evaluation.real.says[against] + shared
