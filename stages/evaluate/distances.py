"""FVD, KVD and FAD under the name of their extractor, each with its interval and the same distance between real clips at equal size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from stages.evaluate.bootstrap import two_set_interval
from stages.evaluate.evaluation import Evaluation, Group
from stages.evaluate.extractors import Extractor, Modality
from stages.evaluate.figures import Figure, NotComputable
from stages.evaluate.frechet import frechet_distance, rank_note
from stages.evaluate.mmd import polynomial_kernels, polynomial_mmd
from stages.evaluate.windows import sources

Against = str
"""Key of AGAINST."""
AGAINST: Mapping[Against, tuple[str, str]] = {"test": ("", ""), "train": ("", "_to_train"), "originals": ("r", "")}
"""What samples are compared with -> beginning and ending of the figures' names."""
ORIGINALS = "their own originals, held out"
FLOOR_KIND = "real against real, equal counts"


@dataclass(frozen=True, slots=True)
class Rows:
    """Features of one set."""

    features: np.ndarray
    """[n, d]."""
    sources: Sequence[str]
    """Of each row, what it belongs to; the bootstrap draws these."""

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared with what."""

    samples: Rows
    reference: Rows
    floor: tuple[np.ndarray, np.ndarray] | None
    """Features of real clips in the samples' place, and of what they are compared with; None: there are too few."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows are needed, wanted and redrawn."""

    min_samples: int
    """Fewest rows on either side."""
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
            evaluation.figures.miss(replace(evaluation.template(group.task), extractor=absent.name),
                                    metric_names(absent.modality, absent.name, against), absent.reason)
        for extractor in evaluation.extractors(group.modalities):
            template = evaluation.template(group.task, extractor, _says(evaluation, group, against))
            evaluation.figures.add(template, metric_names(extractor.modality, extractor.name, against),
                                   partial(_figures, evaluation, group, extractor, against, template))


def metric_names(modality: Modality, extractor: str, against: Against = "test") -> list[str]:
    """Names of the distances of an extractor: ["fvd_local", "kvd_local"]."""
    prefix, ending = AGAINST[against]
    return [f"{prefix}{metric}_{extractor}{ending}" for metric in ({"video": ("fvd", "kvd"), "audio": ("fad",)}.get(modality, ()))]


def distance_figures(compared: Comparison, template: Figure, names: Sequence[str], counts: Counts, seed: int) -> list[Figure]:
    """The distances `names` (those that hold "kvd" by the kernel, the others Frechet's) with floor and interval.

    Raises:
        NotComputable: too few rows on a side, or features that are not finite.
    """
    samples, reference = compared.samples, compared.reference
    require_enough(samples.features, reference.features, counts.min_samples)
    few = f"{len(samples)} samples, the protocol has {counts.wanted}" if len(samples) < counts.wanted else ""
    made = []
    for name in names:
        kernel = "kvd" in name
        statistic: Callable[[np.ndarray | None, np.ndarray | None], float] = (
            polynomial_kernels(samples.features, reference.features).mmd if kernel
            else partial(frechet_distance, samples.features, reference.features))
        value = statistic(None, None)
        floor = None if compared.floor is None else (polynomial_mmd if kernel else frechet_distance)(*compared.floor)
        around = two_set_interval(value, statistic, samples.sources, reference.sources, counts.replicates, seed,
                                  bounds=(-np.inf, np.inf) if kernel else (0.0, np.inf))
        ranks = [] if kernel else [rank_note(samples.features, "samples"), rank_note(reference.features, "reference")]
        made.append(replace(template, note="; ".join(text for text in (few, *ranks) if text)).with_value(
            name, value, floor, FLOOR_KIND, len(samples), len(reference), around))
    return made


def require_enough(samples: np.ndarray, reference: np.ndarray, min_samples: int) -> None:
    """Raises NotComputable when a distance would say more about the counts than about the samples."""
    if len(samples) < min_samples:
        raise NotComputable(f"needs {min_samples} samples (evaluate.min_samples), there are {len(samples)}; raise sample.num_samples")
    if len(reference) < min_samples:
        raise NotComputable(f"needs {min_samples} reference windows (evaluate.min_samples), there are {len(reference)}; "
                            "add clips, or raise inventory.test_share")
    if not (np.isfinite(samples).all() and np.isfinite(reference).all()):
        rows = np.flatnonzero(~np.isfinite(samples).all(1)).tolist()
        raise NotComputable(f"needs finite features; those of samples {rows[:5]} are not, look at them on the report page")


def _figures(evaluation: Evaluation, group: Group, extractor: Extractor, against: Against, template: Figure) -> list[Figure]:
    protocol = evaluation.protocol
    return distance_figures(_comparison(evaluation, group, extractor, against), template,
                            metric_names(extractor.modality, extractor.name, against),
                            Counts(evaluation.params.min_samples, protocol.samples, protocol.replicates), evaluation.seed)


def _comparison(evaluation: Evaluation, group: Group, extractor: Extractor, against: Against) -> Comparison:
    real = evaluation.real
    samples = Rows(evaluation.features(extractor, group.windows), sources(group.windows))
    others = evaluation.features(extractor, real.floor)
    if group.originals is not None and against == "originals":
        # The same object as sources: row i of one belongs to row i of the other, and they are redrawn together.
        reference = Rows(evaluation.features(extractor, group.originals), samples.sources)
        return Comparison(samples, reference, floor_of(others, evaluation.features(extractor, real.reference)[:len(samples)], len(samples)))
    windows = real.reference if against == "test" else real.training
    reference = Rows(evaluation.features(extractor, windows), sources(windows))
    return Comparison(samples, reference, floor_of(others, reference.features, len(samples)))


def floor_of(others: np.ndarray, reference: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray] | None:
    """As many real rows as there are samples, beside what they are compared with; None rather than a floor of another size.

    The floor of reconstructions says how far new clips are from each other: a value under it means that they are nearer to their originals.
    """
    return (others[:count], reference) if len(others) >= count >= 2 and len(reference) >= 2 else None


def _says(evaluation: Evaluation, group: Group, against: Against) -> str:
    if against == "originals":
        return ORIGINALS
    shared = "; about half of the conditions come from these sources, the floor's do not" if against == "test" and group.originals else ""
    return evaluation.real.says[against] + shared
