"""FAD beyond the one number of a set: of each sample alone (CMMD, fadtk), and extrapolated to infinitely many samples (fadtk)."""

from dataclasses import replace
from functools import partial

import numpy as np

from stages.evaluate.bootstrap import mean_interval
from stages.evaluate.distances import FLOOR_KIND, require_enough, rows_of
from stages.evaluate.evaluation import Evaluation, Group
from stages.evaluate.extractors.extractor import Extractor
from stages.evaluate.fad import MIN_ROWS, fad_infinity, per_sample_fad
from stages.evaluate.figures import Figure, NotComputable
from stages.evaluate.windows import sources

PER_SAMPLE, INFINITY = "_per_sample", "_infinity"


def measure(evaluation: Evaluation, group: Group) -> None:
    """fad_x_per_sample (mean over the samples) and fad_x_infinity of every extractor that hears, to held-out clips."""
    if group.task == "real" or "audio" not in group.modalities or group.originals_are_targets:
        return
    for absent in evaluation.absent(["audio"]):
        for ending in (PER_SAMPLE, INFINITY):
            evaluation.figures.miss(replace(evaluation.template(group.task), extractor=absent.name),
                                    [f"{metric}_{absent.name}{ending}" for metric in absent.metrics], absent.reason)
    for extractor in evaluation.extractors(["audio"]):
        template = evaluation.template(group.task, extractor, evaluation.real.says["test"])
        for ending, compute in ((PER_SAMPLE, _per_sample), (INFINITY, _infinity)):
            name = f"{extractor.metrics[0]}_{extractor.name}{ending}"
            evaluation.figures.add(template, [name], partial(compute, evaluation, group, extractor, template, name))


def _per_sample(evaluation: Evaluation, group: Group, extractor: Extractor, template: Figure, name: str) -> list[Figure]:
    samples, reference, others = (_checked(evaluation, group, extractor, which) for which in ("samples", "reference", "floor"))
    values = per_sample_fad(samples, _flat(reference)) * extractor.scale
    floor = float(per_sample_fad(others, _flat(reference)).mean() * extractor.scale) if len(others) else None
    around = mean_interval(values, sources(group.windows), evaluation.protocol.replicates, evaluation.seed, (0.0, np.inf))
    alone = "a sample is one row of features: only its mean is compared" if samples.shape[1] == 1 else ""
    odd = evaluation.oddities(extractor, group.windows, evaluation.real.reference)
    note = "; ".join(part for part in (alone, odd) if part)
    return [replace(template, note=note).with_value(name, float(values.mean()), floor, "real clips, each alone", len(samples),
                                                    len(reference), around)]


def _infinity(evaluation: Evaluation, group: Group, extractor: Extractor, template: Figure, name: str) -> list[Figure]:
    samples, reference = (_checked(evaluation, group, extractor, which) for which in ("samples", "reference"))
    rows = _flat(samples)
    if len(rows) < 2 * MIN_ROWS:
        raise NotComputable(f"needs {2 * MIN_ROWS} rows of features for a line over their number, there are {len(rows)}; "
                            "raise sample.num_samples")
    value = fad_infinity(rows, _flat(reference), evaluation.seed) * extractor.scale
    others, floor = _checked(evaluation, group, extractor, "floor"), None
    if len(others) >= len(samples):
        floor = fad_infinity(_flat(others[:len(samples)]), _flat(reference), evaluation.seed) * extractor.scale
    odd = evaluation.oddities(extractor, group.windows, evaluation.real.reference)
    note = "; ".join(part for part in ("no interval: it is a line through sets of several sizes", odd) if part)
    return [replace(template, note=note).with_value(name, value, floor, FLOOR_KIND, len(samples), len(reference))]


def _checked(evaluation: Evaluation, group: Group, extractor: Extractor, which: str) -> np.ndarray:
    """[n, k, d] of the samples, the reference or the floor."""
    real = evaluation.real
    windows = {"samples": group.windows, "reference": real.reference, "floor": real.floor}[which]
    features = evaluation.features(extractor, windows)
    if which == "samples":
        reference = evaluation.features(extractor, real.reference)
        require_enough(rows_of(features, windows), rows_of(reference, real.reference), evaluation.min_samples)
    return features[:, None] if features.ndim == 2 else features


def _flat(features: np.ndarray) -> np.ndarray:
    return features.reshape(-1, features.shape[-1])
