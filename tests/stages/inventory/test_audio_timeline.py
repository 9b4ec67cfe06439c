"""Jitter is left alone, gaps are kept: pytest tests/stages/inventory/test_audio_timeline.py"""

import numpy as np

from stages.inventory.audio_timeline import lay_pieces

RATE = 44100
SIZES = np.full(400, 1024)
CLOCK = np.arange(400) * 1024 / RATE


def test_pieces_lie_end_to_end_under_jitter() -> None:
    jitter = np.random.default_rng(0).uniform(-0.02, 0.02, 400)
    first = lay_pieces(CLOCK + jitter, SIZES, RATE)
    assert (np.diff(first) == 1024).all()
    assert abs(first[0]) < 0.010 * RATE


def test_gap_becomes_silence_at_its_place() -> None:
    times = CLOCK + np.where(np.arange(400) >= 150, 0.476, 0.0)
    first = lay_pieces(times, SIZES, RATE)
    jumps = np.flatnonzero(np.diff(first) != 1024)
    assert len(jumps) == 1 and abs(jumps[0] - 149) <= 1
    assert abs(first[-1] / RATE - times[-1]) < 0.010


def test_late_start_is_kept() -> None:
    assert lay_pieces(CLOCK + 0.476, SIZES, RATE)[0] == round(0.476 * RATE)


def test_slow_drift_never_exceeds_the_tolerance_by_much() -> None:
    times = CLOCK * 1.01
    assert np.abs(lay_pieces(times, SIZES, RATE) / RATE - times).max() < 0.020
