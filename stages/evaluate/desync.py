"""DeSync: by how many seconds sound and picture are out of step for the network Synchformer, 0 at best (Iashin et al. 2024; av-benchmark).

desync_synchformer is the mean, over clips and over the first and the last 4.8 s of each, of the distance from zero of the offset that the
network takes for the likeliest: one of 21, 0.2 s apart, from -2 to 2 s. Shorter windows have none: figures published for them are of
something else. Beside it stands the figure of pictures with sounds of other sources, which real clips have to be below.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from stages.evaluate.alignment import alignment_figure, wrong_pairs
from stages.evaluate.evaluation import ONE_MODALITY, Evaluation, Group
from stages.evaluate.extractors.extractor import Extractor
from stages.evaluate.extractors.synchformer import MIN_SEC, OFFSETS_SEC, Synchformer
from stages.evaluate.figures import Figure, NotComputable
from stages.evaluate.shares import Shares
from stages.evaluate.windows import Paired

NAME = f"desync_{Synchformer.name}"


def measure(evaluation: Evaluation, group: Group) -> None:
    """desync_synchformer of tasks with sound and picture; the floor puts pictures beside sounds of other sources."""
    if group.task in ONE_MODALITY:
        return
    here = [extractor for extractor in evaluation.extractors(("joint",)) if extractor.name == Synchformer.name]
    reason = too_short(evaluation.clip.window_sec) or ("" if here else absence(evaluation))
    if reason:
        evaluation.figures.miss(replace(evaluation.template(group.task), extractor=Synchformer.name), [NAME], reason)
        return
    template = evaluation.template(group.task, here[0])
    evaluation.figures.add(template, [NAME], partial(_figures, evaluation, group, here[0], template))


def too_short(window_sec: float) -> str:
    """Why windows of this length have no figure, "" when they can have one."""
    if window_sec >= MIN_SEC:
        return ""
    return f"is undefined under {MIN_SEC:g} s, windows have {window_sec:g} s; events, av_align and beats are for short ones"


def absence(evaluation: Evaluation) -> str:
    """Why the network is not here, and how to get it."""
    reasons = [absent.reason for absent in evaluation.absent(("joint",)) if absent.name == Synchformer.name]
    return reasons[0] if reasons else f"needs the network; add {Synchformer.name} to the extractors of protocol {evaluation.protocol.name}"


def _figures(evaluation: Evaluation, group: Group, extractor: Extractor, template: Figure) -> list[Figure]:
    pairs = wrong_pairs(evaluation, group)
    try:
        true, wrong = (offsets(evaluation.features(extractor, windows)) for windows in (group.windows, Paired(group.windows, pairs)))
    finally:
        extractor.release()
    return [alignment_figure(evaluation, group, NAME, true, wrong, template, bounds=(0.0, float(OFFSETS_SEC[-1])), better="lower")]


def offsets(logits: np.ndarray) -> Shares:
    """Of each window, the mean distance from zero of the likeliest offsets, seconds.

    Args:
        logits: [n, 2, 21], of the first and the last 4.8 s.

    Raises:
        NotComputable: one is not finite.
    """
    if not np.isfinite(logits).all():
        raise NotComputable("needs finite features; look at the samples")
    answers = logits.reshape(len(logits), 2, len(OFFSETS_SEC)).argmax(2)
    return Shares(np.abs(OFFSETS_SEC[answers]).mean(1), np.ones(len(answers)))
