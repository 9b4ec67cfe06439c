"""Synchrony as figures: flashes that sound when they light up, and a moment late. `pytest tests/stages/evaluate/test_synchrony.py`"""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from pipeline.contracts.window_sets import Window
from stages.evaluate import av_align, synchrony
from stages.evaluate.evaluation import Group
from stages.evaluate.figures import NotComputable
from stages.evaluate.synchrony import require_known_events
from tests.stages.evaluate.listed import AUDIO, CLIP, Listed, evaluation

FRAMES = (3, 5, 7, 9)


def flash(frame: int, late_sec: float = 0.0) -> Window:
    """A lamp that lights up at the start of `frame`, and a tone that begins `late_sec` later."""
    frames = np.full((CLIP.num_frames, 32, 32, 3), 20, np.uint8)
    frames[frame:, 10:22, 10:22] = 220
    time = np.arange(round(CLIP.window_sec * AUDIO.sample_rate_hz)) / AUDIO.sample_rate_hz - (frame - 0.5) / CLIP.fps - late_sec
    tone = np.where(time > 0, np.sin(2 * np.pi * 700 * time) * np.exp(-4 * np.maximum(time, 0)), 0)
    return Window(f"w{frame}", 0, frames, (tone * 20000).astype(np.int16))


def truth() -> pd.DataFrame:
    return pd.DataFrame([{"source_path": f"w{frame}", "kind": "lamp", "time_sec": (frame - 0.5) / CLIP.fps} for frame in FRAMES])


@pytest.mark.parametrize(("late_sec", "recall"), [(0.0, 1.0), (0.3, 0.0)])
def test_events_in_step_are_found_and_late_ones_are_not(late_sec: float, recall: float) -> None:
    lamps = evaluation(["lamp"], truth())
    synchrony.measure(lamps, Group("real", Listed([flash(frame, late_sec) for frame in FRAMES])))
    found = {figure.name: figure for figure in lamps.figures.found}
    assert found["event_recall"].value == found["event_precision"].value == recall
    assert found["seen_event_recall"].value == 1 and found["heard_event_recall"].value == recall
    assert found["event_recall"].floor is not None and found["event_recall"].num_samples == 4


def test_samples_are_judged_by_what_the_figure_says_of_real_clips() -> None:
    """A figure that cannot tell true pairs of real clips from wrong ones is not valid for samples either."""
    for late_sec, valid in ((0.0, True), (0.3, False)):
        lamps = evaluation(["lamp"], truth())
        synchrony.measure(lamps, Group("real", Listed([flash(frame, late_sec) for frame in FRAMES])))
        synchrony.measure(lamps, Group("svg", Listed([flash(frame) for frame in FRAMES])))
        svg = next(figure for figure in lamps.figures.found if (figure.task, figure.name) == ("svg", "event_recall"))
        assert svg.valid is valid and ("not valid here" in svg.note) is not valid


def test_nothing_to_see_or_no_class_is_absent_with_a_reason() -> None:
    still = Window("still", 0, np.full((16, 32, 32, 3), 20, np.uint8), np.zeros(25_600, np.int16))
    unasked = dataclasses.replace(still, class_id=-1)
    for windows, says in (([still, still], "0 are seen and 0 heard in 2 windows"), ([unasked], "asked for a class"),
                          ([], "held-out windows")):
        lamps = evaluation(["lamp"], truth())
        synchrony.measure(lamps, Group("svg", Listed(windows)))
        assert not lamps.figures.found and says in lamps.figures.missing[0].not_computed


def test_only_the_demos_kinds_with_known_events_are_scored() -> None:
    some = truth()
    require_known_events(some, ["lamp", "bounce"])
    for events, names in ((some, ["lamp", "dog"]), (some[:0], ["lamp"])):
        with pytest.raises(NotComputable, match="the demo's clips"):
            require_known_events(events, names)


def test_av_align_of_flashes_in_step_and_late() -> None:
    """The motion peak of a flash is its frame; the sound of the late ones begins three frames later."""
    values = {}
    for late_sec in (0.0, 0.3):
        lamps = evaluation()
        av_align.measure(lamps, Group("svg", Listed([flash(frame, late_sec) for frame in FRAMES])))
        values[late_sec] = {figure.name: figure for figure in lamps.figures.found}
    good, late = values[0.0], values[0.3]
    for name in av_align.NAMES:
        assert good[name].value == 1 and late[name].value == 0
        assert good[name].floor is not None and good[name].floor < 0.5, "flashes of other clips lie two frames and more away"
    assert good["av_align"].low == good["av_align"].high == 1


def test_av_align_without_anything_happening_is_absent() -> None:
    still = Window("still", 0, np.full((16, 32, 32, 3), 20, np.uint8), np.zeros(25_600, np.int16))
    quiet = evaluation()
    av_align.measure(quiet, Group("svg", Listed([still, still])))
    assert [figure.name for figure in quiet.figures.missing] == list(av_align.NAMES) and not quiet.figures.found
    assert "nothing was found in 2 windows" in quiet.figures.missing[0].not_computed
    av_align.measure(quiet, Group("svg", Listed([still, flash(5)])))
    assert quiet.figures.found[0].num_samples == 1 and "1 of 2 windows left out" in quiet.figures.found[0].note
