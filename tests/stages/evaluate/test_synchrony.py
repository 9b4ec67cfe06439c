"""Synchrony as figures: flashes that sound when they light up, and a moment late. `pytest tests/stages/evaluate/test_synchrony.py`"""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from pipeline.params import ClipParams
from stages.evaluate.figures import Figure, NotComputable
from stages.evaluate.synchrony import require_known_events, synchrony_figures
from stages.evaluate.windows import Window

TEMPLATE = Figure(protocol="demo", task="svg")


def flash(frame: int, late_sec: float, clip: ClipParams, rate: int) -> Window:
    """A lamp that lights up at the start of `frame`, and a tone that begins `late_sec` later."""
    frames = np.full((clip.num_frames, 32, 32, 3), 20, np.uint8)
    frames[frame:, 10:22, 10:22] = 220
    time = np.arange(round(clip.window_sec * rate)) / rate - (frame - 0.5) / clip.fps - late_sec
    tone = np.where(time > 0, np.sin(2 * np.pi * 700 * time) * np.exp(-4 * np.maximum(time, 0)), 0)
    return Window(f"w{frame}", 0, frames, (tone * 20000).astype(np.int16))


@pytest.mark.parametrize(("late_sec", "recall"), [(0.0, 1.0), (0.3, 0.0)])
def test_events_in_step_are_found_and_late_ones_are_not(late_sec: float, recall: float, finished_run) -> None:  # type: ignore[no-untyped-def]
    run = finished_run(tasks=("svg",))
    clip = dataclasses.replace(run.clip, num_frames=16)
    windows = [flash(frame, late_sec, clip, run.audio.sample_rate_hz) for frame in (3, 5, 7, 9)]
    truth = [np.array([(frame - 0.5) / clip.fps]) for frame in (3, 5, 7, 9)]
    found = {figure.name: figure for figure in synchrony_figures(windows, ["lamp"], TEMPLATE, clip=clip, audio=run.audio, tolerance_sec=0.1,
                                                                 seed=1, true_sec=truth)}
    assert found["event_recall"].value == found["event_precision"].value == recall
    assert found["seen_event_recall"].value == 1 and found["heard_event_recall"].value == recall
    assert found["event_recall"].floor is not None and found["event_recall"].num_samples == 4


def test_nothing_to_see_or_no_class_is_absent_with_a_reason(finished_run) -> None:  # type: ignore[no-untyped-def]
    run = finished_run(tasks=("svg",))
    still = Window("still", 0, np.full((10, 32, 32, 3), 20, np.uint8), np.zeros(8000, np.int16))
    unasked = dataclasses.replace(still, class_id=-1)
    for windows, says in (([still, still], "0 are seen and 0 heard in 2 windows"), ([unasked], "asked for a class"),
                          ([], "held-out windows")):
        with pytest.raises(NotComputable, match=says):
            synchrony_figures(windows, ["lamp"], TEMPLATE, clip=run.clip, audio=run.audio, tolerance_sec=0.1, seed=1)


def test_only_the_demos_kinds_with_known_events_are_scored(finished_run) -> None:  # type: ignore[no-untyped-def]
    some = pd.DataFrame([{"source_path": "lamp/0.mp4", "kind": "lamp", "time_sec": 0.5}])
    require_known_events(some, ["lamp", "bounce"])
    for events, names in ((some, ["lamp", "dog"]), (some[:0], ["lamp"])):
        with pytest.raises(NotComputable, match="the demo's clips"):
            require_known_events(events, names)
