"""Synchrony as figures: the demo's events seen against those heard, beside the floor of shuffled pairs."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.contracts.decoded import float_waveform
from pipeline.params import AudioParams, ClipParams
from stages.evaluate.evaluation import ONE_MODALITY, Evaluation, Group
from stages.evaluate.events import KINDS, Agreement, SoundingClip, synchrony
from stages.evaluate.figures import Figure, NotComputable
from stages.evaluate.windows import Window

FLOOR_KIND = "picture beside another clip's sound"
NAMES = ("event_recall", "event_precision")
TRUTH_NAMES = ("seen_event_recall", "seen_event_precision", "heard_event_recall", "heard_event_precision")
"""How well the detectors find the true events of real clips; what they miss there they miss in samples too."""


def measure(evaluation: Evaluation, group: Group) -> None:
    """event_recall and event_precision of tasks with sound and picture; of real clips the detectors' own worth too."""
    if group.task in ONE_MODALITY:
        return
    template = evaluation.template(group.task)
    true_sec = true_events(evaluation.events, group.windows.origins) if group.task == "real" else None

    def compute() -> list[Figure]:
        require_known_events(evaluation.events, evaluation.class_names)
        windows = [group.windows[i] for i in range(len(group.windows))]
        return synchrony_figures(windows, evaluation.class_names, template, clip=evaluation.clip, audio=evaluation.audio,
                                 tolerance_sec=evaluation.params.event_tolerance_sec, seed=evaluation.seed, true_sec=true_sec)

    evaluation.figures.add(template, NAMES if true_sec is None else NAMES + TRUTH_NAMES, compute)


def true_events(events: pd.DataFrame, origins: Sequence[tuple[str, float]]) -> list[np.ndarray]:
    """Of each window, the true event times in seconds from its beginning; times outside it are kept, a partner may lie there."""
    times = {path: group["time_sec"].to_numpy() for path, group in events.groupby("source_path")}
    return [times.get(path, np.zeros(0)) - start_sec for path, start_sec in origins]


def require_known_events(events: pd.DataFrame, class_names: Sequence[str]) -> None:
    """Raises NotComputable unless the clips are those of the demo, whose events can be seen by a rule for each kind."""
    if events.empty or not set(class_names) <= set(KINDS):
        raise NotComputable("needs the demo's clips, whose events are known; set data.raw to data/demo_data/clips")


def synchrony_figures(windows: Sequence[Window], class_names: Sequence[str], template: Figure, *, clip: ClipParams, audio: AudioParams,
                      tolerance_sec: float, seed: int, true_sec: Sequence[np.ndarray] | None = None) -> list[Figure]:
    """event_recall: share of the events seen that are heard within the tolerance; event_precision: of the events heard that are seen.

    Args:
        windows: of the demo's kinds.
        class_names: by class_id.
        true_sec: for real windows, the true event times of each from its beginning; adds TRUTH_NAMES.

    Raises:
        NotComputable: nothing is seen or nothing is heard in any window.
    """
    if any(window.class_id < 0 for window in windows):
        raise NotComputable("needs samples that were asked for a class; set dit.context to class")
    clips = [SoundingClip(window.frames, float_waveform(window.waveform), class_names[window.class_id], true_sec[i] if true_sec else None)
             for i, window in enumerate(windows)]
    if not clips:
        raise NotComputable("needs held-out windows; add clips, or raise inventory.test_share")
    score = synchrony(clips, fps=clip.fps, sample_rate=audio.sample_rate_hz, tolerance_sec=tolerance_sec, seed=seed)
    pairs: list[tuple[tuple[str, ...], Agreement | None, Agreement | None]] = [
        (NAMES, score.matched, score.floor), (TRUTH_NAMES[:2], score.video_truth, None), (TRUTH_NAMES[2:], score.audio_truth, None)]
    figures = []
    for names, found, floor in pairs:
        if found is None:
            continue
        floors = (floor.recall, floor.precision) if floor is not None else (math.nan, math.nan)
        for name, value, chance in zip(names, (found.recall, found.precision), floors, strict=True):
            if math.isnan(value):
                raise NotComputable(f"needs events on both sides, {score.num_video_events} are seen and {score.num_audio_events} heard "
                                    f"in {len(clips)} windows")
            figures.append(template.with_value(name, value, None if math.isnan(chance) else chance, FLOOR_KIND, len(clips), 0))
    return figures
