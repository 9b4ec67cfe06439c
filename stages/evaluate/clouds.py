"""Precision, recall and coverage of the samples' features: is each sample like something real, and is everything real found among them?

A distance mixes the two; a generator that makes one perfect clip has precision 1 and coverage near 0 (precision_recall.py).
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from stages.evaluate.bootstrap import mean_interval
from stages.evaluate.distances import FLOOR_KIND, Rows, require_enough, rows_of
from stages.evaluate.evaluation import Evaluation, Group
from stages.evaluate.extractors.catalogue import AbsentExtractor
from stages.evaluate.extractors.extractor import Extractor
from stages.evaluate.figures import Figure, NotComputable
from stages.evaluate.precision_recall import NEIGHBOURS, likeness

SHARES = ("precision", "recall", "coverage")


def measure(evaluation: Evaluation, group: Group) -> None:
    """precision, recall and coverage by every extractor of what the task generates, against held-out clips."""
    if group.task == "real" or group.originals_are_targets:
        return
    for absent in evaluation.absent(group.modalities):
        evaluation.figures.miss(replace(evaluation.template(group.task), extractor=absent.name), names(absent), absent.reason)
    for extractor in evaluation.extractors(group.modalities):
        template = evaluation.template(group.task, extractor, evaluation.real.says["test"])
        evaluation.figures.add(template, names(extractor), partial(_figures, evaluation, group, extractor, template))


def names(extractor: Extractor | AbsentExtractor) -> list[str]:
    """Of the three figures: precision_video_local, ..."""
    return [f"{share}_{extractor.modality}_{extractor.name}" for share in SHARES]


def _figures(evaluation: Evaluation, group: Group, extractor: Extractor, template: Figure) -> list[Figure]:
    real = evaluation.real
    samples, reference, others = (rows_of(evaluation.features(extractor, windows), windows)
                                  for windows in (group.windows, real.reference, real.floor))
    require_enough(samples, reference, evaluation.min_samples)
    if min(len(samples.features), len(reference.features)) <= NEIGHBOURS:
        raise NotComputable(f"needs more than {NEIGHBOURS} samples and reference windows, there are {samples.windows} and "
                            f"{reference.windows}; raise sample.num_samples, or add clips")
    odd = evaluation.oddities(extractor, group.windows, real.reference)
    note = "; ".join(part for part in (f"{NEIGHBOURS} nearest neighbours", odd) if part)
    found, belongs = _shares(samples.features, reference.features), (samples.sources, reference.sources, reference.sources)
    floors: Sequence[np.ndarray | None] = (None,) * len(SHARES)
    if others.windows >= samples.windows:
        floors = _shares(_first(others, samples.windows), reference.features)
    made = []
    for name, values, floor, groups in zip(names(extractor), found, floors, belongs, strict=True):
        around = mean_interval(values, groups, evaluation.protocol.replicates, evaluation.seed, (0.0, 1.0))
        made.append(replace(template, note=note).with_value(
            name, float(values.mean()), None if floor is None else float(floor.mean()), FLOOR_KIND, samples.windows, reference.windows,
            around))
    return made


def _shares(samples: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found = likeness(samples, reference)
    return found.precision.astype(np.float64), found.recall.astype(np.float64), found.coverage.astype(np.float64)


def _first(rows: Rows, windows: int) -> np.ndarray:
    """The rows of the first windows."""
    return rows.features[:windows * (len(rows.features) // rows.windows)]
