"""Synchrony as figures: the demo's events seen against those heard, beside the floor of shuffled pairs."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from pipeline.contracts.decoded import float_waveform
from stages.evaluate.alignment import alignment_figure, share_figure
from stages.evaluate.evaluation import ONE_MODALITY, Evaluation, Group
from stages.evaluate.events import KINDS, SoundingClip, synchrony
from stages.evaluate.figures import Figure, NotComputable
from stages.evaluate.windows import sources

NAMES = ("event_recall", "event_precision")
TRUTH_NAMES = ("seen_event_recall", "seen_event_precision", "heard_event_recall", "heard_event_precision")
"""How well the detectors find the true events of real clips; what they miss there they miss in samples too."""


def measure(evaluation: Evaluation, group: Group) -> None:
    """event_recall, the share of the events seen that are heard within the tolerance, and event_precision, of those heard that are seen.

    Of tasks with sound and picture; of real clips the detectors' own worth too (TRUTH_NAMES).
    """
    if group.task in ONE_MODALITY:
        return
    template = evaluation.template(group.task)
    true_sec = true_events(evaluation.events, group.windows.origins) if group.task == "real" else None

    evaluation.figures.add(template, NAMES if true_sec is None else NAMES + TRUTH_NAMES,
                           partial(_figures, evaluation, group, template, true_sec))


def true_events(events: pd.DataFrame, origins: Sequence[tuple[str, float]]) -> list[np.ndarray]:
    """Of each window, the true event times in seconds from its beginning; times outside it are kept, a partner may lie there."""
    times = {path: group["time_sec"].to_numpy() for path, group in events.groupby("source_path")}
    return [times.get(path, np.zeros(0)) - start_sec for path, start_sec in origins]


def require_known_events(events: pd.DataFrame, class_names: Sequence[str]) -> None:
    """Raises NotComputable unless the clips are those of the demo, whose events can be seen by a rule for each kind."""
    if events.empty or not set(class_names) <= set(KINDS):
        raise NotComputable("needs the demo's clips, whose events are known; set data.raw to data/demo_data/clips")


def _figures(evaluation: Evaluation, group: Group, template: Figure, true_sec: Sequence[np.ndarray] | None) -> list[Figure]:
    require_known_events(evaluation.events, evaluation.class_names)
    classes, belongs = group.windows.class_ids, sources(group.originals or group.windows)
    if min(classes, default=0) < 0:
        raise NotComputable("needs samples that were asked for a class; set dit.context to class")
    if not classes:
        raise NotComputable("needs held-out windows; add clips, or raise inventory.test_share")
    clips = [SoundingClip(window.frames, float_waveform(window.waveform), evaluation.class_names[classes[i]], belongs[i],
                          true_sec[i] if true_sec else None)
             for i, window in enumerate(group.windows)]
    score = synchrony(clips, fps=evaluation.clip.fps, sample_rate=evaluation.audio.sample_rate_hz,
                      tolerance_sec=evaluation.event_tolerance_sec, seed=evaluation.seed)
    if not (score.num_video_events and score.num_audio_events):
        raise NotComputable(f"needs events on both sides, {score.num_video_events} are seen and {score.num_audio_events} heard "
                            f"in {len(clips)} windows")
    figures = [alignment_figure(evaluation, group, name, true, wrong, template) for name, true, wrong in
               zip(NAMES, (score.matched.recall, score.matched.precision), (score.floor.recall, score.floor.precision), strict=True)]
    for names, truth in ((TRUTH_NAMES[:2], score.video_truth), (TRUTH_NAMES[2:], score.audio_truth)):
        if truth is not None:
            figures += [share_figure(evaluation, group, name, found, template)
                        for name, found in zip(names, (truth.recall, truth.precision), strict=True)]
    return figures
