"""Memorisation audit: is a sample a training clip come back? Looked for in pixels and in the features of every extractor.

A distance alone does not tell: amid many training clips that look alike, a new clip too is near to one of them. So the distance to the
nearest training window is set against the distances to the nearest windows of the next sources (Carlini et al. 2023, "Extracting training
data from diffusion models"): near 1 amid equals, near 0 for a copy.

The rule: held-out real windows, which cannot be copies, are looked up in the same way. A sample is flagged when its ratio lies under
that of their k-th lowest of m, with k the most for which k / (m + 1) stays within FALSE_POSITIVES (1 at least). A clip that was
not copied is then flagged with a probability of k / (m + 1), if it is as like the held-out ones as they are like each other
(windows of one source are, in truth, no independent witnesses); that is the floor beside the share of flagged samples.

In pixels every window of every training clip is looked at, as frames of 16 x 16 px (`learnt_clips.py`); in features the protocol's
training windows, one or a few of each source.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from pipeline.contracts.window_sets import WindowSet
from stages.evaluate.bootstrap import mean_interval
from stages.evaluate.evaluation import Evaluation, Group
from stages.evaluate.extractors.extractor import Extractor
from stages.evaluate.figures import Figure, NotComputable, six_digits
from stages.evaluate.learnt_clips import thumbnails
from stages.evaluate.nearest import Neighbours, blocks_of, nearest
from stages.evaluate.windows import sources

FALSE_POSITIVES = 0.01
COPY_RATIO = 0.01
"""A held-out clip so much nearer to one learnt from than to the next sources' is that clip (of pixels, the same clip has 0.0005)."""
HELD_OUT = "real"
PIXELS = "pixels"
FLOOR_KINDS = ("false positives: real held-out windows that the rule flags", "real held-out windows")


def measure(evaluation: Evaluation, group: Group) -> None:
    """memorised_<space>, the share of samples flagged, and nearest_ratio_<space>, how near the training clips are on average."""
    if group.task in (HELD_OUT, "reconstruction"):
        return  # neither is drawn from what was learnt
    if "video" in group.modalities:
        template = evaluation.template(group.task, None, "every window of the clips learnt from")
        evaluation.figures.add(template, names(PIXELS), partial(_figures, evaluation, group, None, template))
    for extractor in evaluation.extractors(group.modalities):
        template = evaluation.template(group.task, extractor, evaluation.real.says["train"])
        evaluation.figures.add(template, names(space_of(extractor)), partial(_figures, evaluation, group, extractor, template))


def names(space: str) -> tuple[str, str]:
    """Of the two figures."""
    return f"memorised_{space}", f"nearest_ratio_{space}"


def space_of(extractor: Extractor | None) -> str:
    """In what is looked: "pixels", "video_local"."""
    return PIXELS if extractor is None else f"{extractor.modality}_{extractor.name}"


def neighbour_rows(evaluation: Evaluation) -> Iterator[dict[str, object]]:
    """Rows of pipeline.contracts.neighbours: every window that was looked up, held-out ones (task "real") among them."""
    for (task, space), made in evaluation.neighbours.items():
        limit, _ = limit_of(evaluation.neighbours[HELD_OUT, space].found.ratios)
        for name, key, distance, ratio in zip(made.names, made.keys, made.found.distances, made.found.ratios, strict=True):
            yield {"protocol": evaluation.protocol.name, "task": task, "space": space, "name": name, "nearest": key,
                   "distance": six_digits(distance), "ratio": six_digits(ratio), "limit": six_digits(limit), "flagged": bool(ratio < limit)}


def limit_of(held_out_ratios: np.ndarray) -> tuple[float, float]:
    """(ratio under which a sample is flagged, share of clips that are no copies and lie under it all the same).

    Args:
        held_out_ratios: [m], m >= 1.
    """
    count = len(held_out_ratios)
    place = max(int(FALSE_POSITIVES * (count + 1)), 1)
    return float(np.sort(held_out_ratios)[place - 1]), place / (count + 1)


def _figures(evaluation: Evaluation, group: Group, extractor: Extractor | None, template: Figure) -> list[Figure]:
    space = space_of(extractor)
    if (HELD_OUT, space) not in evaluation.neighbours:
        evaluation.neighbours[HELD_OUT, space] = _held_out(evaluation, extractor)
    held_out = evaluation.neighbours[HELD_OUT, space]
    made = evaluation.neighbours[group.task, space] = _look_up(evaluation, [group.windows], extractor)
    limit, rate = limit_of(held_out.found.ratios)
    if limit < COPY_RATIO:
        copies = [name for name, ratio in zip(held_out.names, held_out.found.ratios, strict=True) if ratio < COPY_RATIO]
        raise NotComputable(f"needs held-out clips that were not learnt from: {len(copies)} of {len(held_out.names)} are there among those "
                            f"learnt from (such as {copies[0]}); take them out on one side")
    flags, groups = (made.found.ratios < limit).astype(np.float64), sources(group.windows)
    rule = f"flagged below a ratio of {limit:.3g}, which {rate:.2%} of clips that are no copies lie under"
    figures = []
    for name, values, floor, kind, most in zip(names(space), (flags, made.found.ratios), (rate, float(held_out.found.ratios.mean())),
                                               FLOOR_KINDS, (1.0, np.inf), strict=True):
        around = mean_interval(values, groups, evaluation.protocol.replicates, evaluation.seed, (0.0, most))
        figures.append(replace(template, note=rule).with_value(name, float(values.mean()), floor, kind, len(values),
                                                               len(held_out.names), around))
    return figures


def _held_out(evaluation: Evaluation, extractor: Extractor | None) -> Neighbours:
    return _look_up(evaluation, [evaluation.real.reference, evaluation.real.floor], extractor)


def _look_up(evaluation: Evaluation, sets: Sequence[WindowSet], extractor: Extractor | None) -> Neighbours:
    """The nearest training window of each window of the sets."""
    sets = [windows for windows in sets if len(windows)]  # with few sources held out there is no floor
    if not sets:
        raise NotComputable("needs held-out windows to know what is usual; add clips, or raise inventory.test_share")
    looked_for = [name for windows in sets for name in windows.names]
    learnt, training = evaluation.real.learnt_clips, evaluation.real.training
    if extractor is None and learnt is None:
        raise NotComputable("needs the clips that were learnt from, whole; measure the pipeline's own samples: dvc repro evaluate")
    if not len(training):
        raise NotComputable(evaluation.real.missing["train"])
    if len(set(sources(training))) < 2:
        raise NotComputable(f"needs clips learnt from of two sources or more, there are {len(set(sources(training)))}; add clips")
    if extractor is not None:
        queries = np.concatenate([_finite(evaluation.features(extractor, windows)) for windows in sets])
        belongs = sources(training)
        order = np.argsort(belongs, kind="stable")
        found = nearest(queries, blocks_of(_finite(evaluation.features(extractor, training)), belongs, order))
        return Neighbours(looked_for, [training.names[order[row]] for row in found.rows], found)
    assert learnt is not None
    queries = np.stack([thumbnails(window.frames).reshape(-1) for windows in sets for window in windows]).astype(np.float32)
    found = nearest(queries, learnt.blocks())
    return Neighbours(looked_for, [learnt.keys[row] for row in found.rows],
                      replace(found, distances=found.distances / np.sqrt(queries.shape[1])))  # gray levels, whatever the size


def _finite(features: np.ndarray) -> np.ndarray:
    """Features as rows [n, d], finite ones."""
    if not np.isfinite(features).all():
        raise NotComputable("needs finite features; look at the samples")
    return features.reshape(len(features), -1)
