"""What a classifier of sound makes of the samples: inception score (IS), and divergence from the real sound of a pair (KL, also MKL)."""

from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np

from pipeline.seeds import derive_seed
from stages.evaluate.bootstrap import MIN_SOURCES, interval, mean_interval, multiplicities
from stages.evaluate.class_scores import SPLITS, inception_score, paired_divergence
from stages.evaluate.evaluation import Evaluation, Group
from stages.evaluate.extractors.extractor import Extractor
from stages.evaluate.extractors.local import LocalExtractor
from stages.evaluate.extractors.panns import PANNs
from stages.evaluate.figures import Figure, NotComputable
from stages.evaluate.windows import sources


class SoundClassifier(Extractor, Protocol):
    """An extractor that also knows classes."""

    def log_probabilities(self, features: np.ndarray) -> np.ndarray:
        """[n, classes] of features [n, d]."""


def measure(evaluation: Evaluation, group: Group) -> None:
    """is_x, and kl_x where a sample has a real clip beside it, of every extractor that classifies sound (local, panns)."""
    if group.task == "real" or "audio" not in group.modalities:
        return
    names = [("is", _inception), *([("kl", _divergence)] if group.originals is not None else [])]
    for absent in evaluation.absent(["audio"]):
        if absent.name == PANNs.name:
            evaluation.figures.miss(replace(evaluation.template(group.task), extractor=absent.name),
                                    [f"{name}_{absent.name}" for name, _ in names], absent.reason)
    for extractor in evaluation.extractors(["audio"]):
        if isinstance(extractor, (PANNs, LocalExtractor)):
            template = evaluation.template(group.task, extractor)
            for name, compute in names:
                evaluation.figures.add(template, [f"{name}_{extractor.name}"],
                                       partial(compute, evaluation, group, extractor, template, f"{name}_{extractor.name}"))


def _inception(evaluation: Evaluation, group: Group, extractor: SoundClassifier, template: Figure, name: str) -> list[Figure]:
    logs = _log_probabilities(evaluation, extractor, evaluation.features(extractor, group.windows))
    if len(logs) < 2 * SPLITS:
        raise NotComputable(f"needs {2 * SPLITS} samples for {SPLITS} parts, there are {len(logs)}; raise sample.num_samples")
    others = evaluation.features(extractor, evaluation.real.floor)
    real = None
    if len(others) >= len(logs):
        real = float(inception_score(_shuffled(evaluation, _log_probabilities(evaluation, extractor, others[:len(logs)]))).mean())
    scores = inception_score(_shuffled(evaluation, logs))
    belongs, around = sources(group.windows), (np.nan, np.nan)
    if len(set(belongs)) >= MIN_SOURCES:
        redrawn = [inception_score(_shuffled(evaluation, np.repeat(logs, times, axis=0))).mean()
                   for times in multiplicities(belongs, evaluation.protocol.replicates, evaluation.seed, name)]
        around = interval(float(scores.mean()), redrawn, (1.0, np.inf))
    deviation = f"deviation over {SPLITS} parts {scores.std():.3g}"
    return [replace(template, note=deviation).with_value(name, float(scores.mean()), real, "real clips, equal counts (higher is better)",
                                                         len(logs), 0, around)]


def _divergence(evaluation: Evaluation, group: Group, extractor: SoundClassifier, template: Figure, name: str) -> list[Figure]:
    assert group.originals is not None
    made, real = (_log_probabilities(evaluation, extractor, evaluation.features(extractor, windows))
                  for windows in (group.windows, group.originals))
    if len(made) < evaluation.min_samples:
        raise NotComputable(f"needs {evaluation.min_samples} samples (evaluate.min_samples), there are {len(made)}; "
                            "raise sample.num_samples")
    values = paired_divergence(real, made)
    # Every pair parted: each sample beside the next one's real clip.
    floor = float(paired_divergence(np.roll(real, 1, axis=0), made).mean())
    around = mean_interval(values, sources(group.windows), evaluation.protocol.replicates, evaluation.seed, (0.0, np.inf))
    return [replace(template, reference="the real sound beside each").with_value(
        name, float(values.mean()), floor, "another pair's real sound", len(values), len(values), around)]


def _log_probabilities(evaluation: Evaluation, extractor: SoundClassifier, features: np.ndarray) -> np.ndarray:
    if isinstance(extractor, LocalExtractor) and not extractor.knows_classes:
        raise NotComputable("needs two classes or more, data/inventory has one; add class folders to data.raw")
    if not np.isfinite(features).all():
        raise NotComputable("needs finite features; look at the samples")
    return extractor.log_probabilities(features)


def _shuffled(evaluation: Evaluation, logs: np.ndarray) -> np.ndarray:
    """In a random order, as the score's parts must each be a fair draw."""
    return logs[np.random.default_rng(derive_seed(evaluation.seed, "evaluate", "inception")).permutation(len(logs))]
