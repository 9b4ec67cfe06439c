"""Do picture and sound belong together, by networks that put both into one space: cosine of their embeddings (PE-AV, ImageBind).

Seeing and Hearing 4 reports such scores. They say whether the sound fits what is seen, hardly whether it comes at the right moment; not
multiplied by 100, as some programs do.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from stages.evaluate.alignment import alignment_figure, wrong_pairs
from stages.evaluate.evaluation import ONE_MODALITY, Evaluation, Group
from stages.evaluate.extractors.extractor import Extractor
from stages.evaluate.figures import Figure, NotComputable
from stages.evaluate.shares import Shares


def measure(evaluation: Evaluation, group: Group) -> None:
    """cosine_<extractor> of tasks with sound and picture; the floor puts pictures beside sounds of other sources."""
    if group.task in ONE_MODALITY:
        return
    for absent in evaluation.absent(("pair",)):
        evaluation.figures.miss(replace(evaluation.template(group.task), extractor=absent.name), [f"cosine_{absent.name}"], absent.reason)
    for extractor in evaluation.extractors(("pair",)):
        template = evaluation.template(group.task, extractor)
        evaluation.figures.add(template, [f"cosine_{extractor.name}"], partial(_figures, evaluation, group, extractor, template))


def _figures(evaluation: Evaluation, group: Group, extractor: Extractor, template: Figure) -> list[Figure]:
    features = evaluation.features(extractor, group.windows)
    if not np.isfinite(features).all():
        raise NotComputable("needs finite features; look at the samples")
    own = np.arange(len(features)).repeat(2).reshape(-1, 2)
    true, wrong = (cosines(features, pairs) for pairs in (own, wrong_pairs(evaluation, group)))
    return [alignment_figure(evaluation, group, f"cosine_{extractor.name}", true, wrong, template, bounds=(-1.0, 1.0))]


def cosines(features: np.ndarray, pairs: np.ndarray) -> Shares:
    """Of each pair, the cosine of a window's picture and a window's sound.

    Args:
        features: [n, 2, d], picture and sound of each window; of any length.
        pairs: int [p, 2], which picture and which sound.
    """
    unit = features / np.maximum(np.linalg.norm(features, axis=2, keepdims=True), 1e-12)
    values = (unit[pairs[:, 0], 0] * unit[pairs[:, 1], 1]).sum(1)
    return Shares(values, np.ones(len(values)))
