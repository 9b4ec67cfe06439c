"""AV-Align's and the beats' formulas, pairs of strangers, shares. `pytest tests/stages/evaluate/test_alignment_scores.py`"""

import dataclasses

import numpy as np
import pytest

from pipeline.contracts.window_sets import Window
from stages.evaluate import beats
from stages.evaluate.av_align import audio_onsets, iou, motion_peaks, original_iou
from stages.evaluate.beats import beat_hits, beat_times
from stages.evaluate.evaluation import Group
from stages.evaluate.shares import effect_size, shares
from stages.evaluate.shuffled_pairs import PARTNERS, strangers
from stages.evaluate.similarity import cosines
from tests.stages.evaluate.listed import CLIP, Listed, evaluation

RATE = 16_000


def clicks(times_sec: np.ndarray, seconds: float) -> np.ndarray:
    """Short decaying tones, int16."""
    time = np.arange(round(seconds * RATE)) / RATE
    wave = sum(np.where(time >= at, np.sin(2 * np.pi * 900 * (time - at)) * np.exp(-60 * np.maximum(time - at, 0)), 0) for at in times_sec)
    return (12000 * np.asarray(wave)).astype(np.int16)


def test_the_original_form_exceeds_one_and_the_corrected_one_never_does() -> None:
    onsets, peaks = np.array([0.41, 0.45, 0.5, 0.55, 0.59]), np.array([0.5])
    assert original_iou(onsets, peaks, fps=10) == 5.0
    assert iou(onsets, peaks, fps=10) == pytest.approx(1 / 5)
    random = np.random.default_rng(0)
    for _ in range(100):
        a, b = (np.sort(random.uniform(0, 1.6, random.integers(1, 9))) for _ in range(2))
        assert 0 <= iou(a, b, 10) <= 1 and iou(a, b, 10) == pytest.approx(iou(b, a, 10))


def test_both_forms_agree_where_peaks_are_far_apart() -> None:
    onsets, peaks = np.array([0.2, 0.8, 1.3]), np.array([0.25, 0.95, 1.5])
    assert iou(onsets, peaks, 10) == original_iou(onsets, peaks, 10) == pytest.approx(1 / 5), "0.15 s apart is not near"


def test_no_peaks_at_all_have_no_score() -> None:
    nothing = np.zeros(0)
    assert iou(nothing, nothing, 10) is None and original_iou(nothing, nothing, 10) is None
    assert iou(np.array([0.5]), nothing, 10) == original_iou(nothing, np.array([0.5]), 10) == 0


def test_motion_peaks_are_strict_and_need_some_motion() -> None:
    flow = np.array([0.0, 0.0, 0.05, 0.0, 0.3, 0.3, 0.0, 2.0, 1.0])
    assert motion_peaks(flow, fps=10, min_flow_px=0.0).tolist() == [0.2, 0.7]
    assert motion_peaks(flow, fps=10, min_flow_px=0.1).tolist() == [0.7]


def test_onsets_and_beats_of_a_click_track_are_where_the_clicks_are() -> None:
    at = np.arange(0.25, 8, 0.5)  # 120 beats a minute
    wave = clicks(at, 8.0).astype(np.float32) / 32768
    for found in (audio_onsets(wave, RATE), beat_times(wave, RATE)):
        assert len(found) >= len(at) - 2
        assert all(np.abs(at - time).min() < 0.06 for time in found)
    assert len(audio_onsets(np.zeros(RATE, np.float32), RATE)) == len(beat_times(np.zeros(RATE, np.float32), RATE)) == 0


def test_beats_are_hit_once_each() -> None:
    assert beat_hits(np.array([0.95, 1.05]), np.array([1.0]), 0.1) == (1, 1)
    assert beat_hits(np.array([1.0]), np.array([0.95, 1.05, 2.0]), 0.1) == (1, 3)
    assert beat_hits(np.zeros(0), np.array([1.0]), 0.1) == (0, 1) and beat_hits(np.array([1.0]), np.zeros(0), 0.1) == (0, 0)


def test_beat_hit_rate_falls_off_beat_and_says_when_it_means_nothing() -> None:
    frames = np.zeros((1, 8, 8, 3), np.uint8)
    slow, fast = np.arange(0.3, 6, 0.6), np.arange(0.2, 6, 0.45)

    def windows(*tracks: np.ndarray, seconds: float = 6.0) -> Listed:
        return Listed([Window(f"w{i}", 0, frames, clicks(track, seconds)) for i, track in enumerate(tracks)])

    def rates(made: Listed, true: Listed, window_frames: int = 60) -> dict:  # type: ignore[type-arg]
        whole = evaluation(clip=dataclasses.replace(CLIP, num_frames=window_frames))
        beats.measure(whole, Group("v2a", made, true))
        return {figure.name: figure for figure in whole.figures.found}

    true = windows(slow, fast)
    right, late = rates(windows(slow, fast), true), rates(windows(slow + 0.25, fast + 0.2), true)
    assert right["beat_hit_rate_100ms"].value == 1 and right["beat_hit_rate_100ms"].valid
    assert late["beat_hit_rate_100ms"].value < 0.2
    assert late["beat_hit_rate_500ms"].value > 0.9, "half a second forgives a whole offbeat"
    assert not late["beat_hit_rate_500ms"].valid and "saturates" in late["beat_hit_rate_500ms"].note
    short = rates(windows(slow[:3], fast[:3], seconds=1.6), windows(slow[:3], fast[:3], seconds=1.6), window_frames=16)
    assert all(not figure.valid and "not valid under 4 s, windows last 1.6 s" in figure.note for figure in short.values())


def test_strangers_share_no_source_and_are_of_one_class_where_they_can() -> None:
    classes = [0] * 12 + [1] * 6 + [2]
    belongs = ["a", "b", "c", "d"] * 3 + ["e"] * 5 + ["f"] + ["g"]
    pairs = strangers(classes, belongs, seed=3)
    assert all(belongs[i] != belongs[j] for i, j in pairs)
    assert all(classes[i] == classes[j] for i, j in pairs if classes[i] < 2)
    partners = {i: [j for k, j in pairs.tolist() if k == i] for i in range(len(classes))}
    assert all(len(partners[i]) == PARTNERS == len(set(partners[i])) for i in range(12))
    assert all(partners[i] == [17] for i in range(12, 17)) and len(partners[17]) == PARTNERS, "a class of two sources has few partners"
    assert len(partners[18]) == PARTNERS, "the only one of its class is put beside others"
    assert strangers(classes, belongs, seed=3).tolist() == pairs.tolist() != strangers(classes, belongs, seed=4).tolist()


def test_one_source_alone_has_no_strangers() -> None:
    assert strangers([0, 0], ["a", "a"], seed=1).shape == (0, 2) and strangers([], [], seed=1).shape == (0, 2)


def test_shares_are_pooled_and_their_distance_is_in_deviations() -> None:
    some = shares([(1, 2), (0, 0), (2, 2)])
    assert some.pooled == pytest.approx(3 / 4) and some.each.tolist() == [0.5, 1.0]
    assert np.isnan(shares([(0, 0)]).pooled) and np.isnan(shares([]).pooled)
    random = np.random.default_rng(1)
    true, wrong = (shares([(x, 1) for x in random.normal(mean, 0.2, 4000)]) for mean in (0.8, 0.6))
    assert effect_size(true, wrong) == pytest.approx(1.0, abs=0.06)
    assert np.isnan(effect_size(some, shares([(1, 1)])))


def test_cosines_are_those_of_the_pairs_asked_for_at_any_length() -> None:
    picture, sound = np.array([[2.0, 0.0], [0.0, 5.0]]), np.array([[1.0, 1.0], [0.0, -3.0]])
    found = cosines(np.stack([picture, sound], axis=1), np.array([[0, 0], [1, 1], [0, 1]]))
    assert found.each.tolist() == pytest.approx([2**-0.5, -1.0, 0.0])
