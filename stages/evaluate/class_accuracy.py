"""How often an independent classifier sees, or hears, the class that was asked for."""

from functools import partial

import numpy as np

from stages.evaluate.bootstrap import mean_interval
from stages.evaluate.evaluation import Evaluation, Group
from stages.evaluate.extractors.local import LocalExtractor
from stages.evaluate.figures import Figure, NotComputable
from stages.evaluate.windows import sources


def measure(evaluation: Evaluation, group: Group) -> None:
    """video_class_accuracy_local, audio_class_accuracy_local of what the task generates; the floor is chance."""
    for modality in group.modalities:
        extractor = evaluation.local(modality)
        if extractor is not None:
            template = evaluation.template(group.task, extractor, "class asked for")
            evaluation.figures.add(template, [f"{modality}_class_accuracy_local"],
                                   partial(_accuracy, evaluation, group, extractor, template))


def _accuracy(evaluation: Evaluation, group: Group, extractor: LocalExtractor, template: Figure) -> list[Figure]:
    classes = len(evaluation.class_names)
    if classes < 2:
        raise NotComputable("needs two classes or more, data/inventory has one; add class folders to data.raw")
    if min(group.windows.class_ids, default=0) < 0:
        raise NotComputable("needs samples that were asked for a class; set dit.context to class")
    features = evaluation.features(extractor, group.windows)
    if not len(features):
        raise NotComputable("needs held-out windows; add clips, or raise inventory.test_share")
    if not np.isfinite(features).all():
        raise NotComputable("needs finite features; look at the samples")
    right = (extractor.recognise(features) == np.array(group.windows.class_ids)).astype(np.float64)
    around = mean_interval(right, sources(group.windows), evaluation.protocol.replicates, evaluation.seed, (0.0, 1.0))
    return [template.with_value(f"{extractor.modality}_class_accuracy_local", float(right.mean()), 1 / classes, "chance", len(right), 0,
                                around)]
