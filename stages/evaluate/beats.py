"""Beat hit rate: do the beats of generated music fall on those of the true music (CMMD 3.1; LORIS and others before it).

beat_hit_rate_100ms   share of the true sound's beats with a beat of the generated sound within 100 ms, each used once
beat_hit_rate_500ms   the same within half a second: at 120 beats a minute nearly every beat is hit by chance; CMMD prints it and
                      advises against it, and so does the note beside it here

Beats are librosa's (`beat_track`, sound at 22,050 Hz), pooled over clips. CMMD published no program: that hits are counted over the true
beats and one to one is our reading. librosa presses a steady beat on any sound, also where there is none; a tempo needs some
seconds to show, so that clips under MIN_SEC are measured and marked as not valid.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from pipeline.contracts.decoded import float_waveform
from stages.evaluate.alignment import alignment_figure, wrong_pairs
from stages.evaluate.compiled_librosa import RATE_HZ, compiled_librosa
from stages.evaluate.evaluation import Evaluation, Group
from stages.evaluate.events import match
from stages.evaluate.figures import Figure
from stages.evaluate.shares import shares

TOLERANCES_SEC = {"beat_hit_rate_100ms": 0.1, "beat_hit_rate_500ms": 0.5}
TASKS = ("v2a", "reconstruction")
"""Tasks whose sound has a true one that it should be in time with."""
MIN_SEC = 4.0
"""Four beats of a slow tempo, 60 a minute."""
SATURATING_SEC = 0.5
FLOOR_KIND = "beats of another source's true sound"


def measure(evaluation: Evaluation, group: Group) -> None:
    """Both beat hit rates of tasks that generate a sound for a clip whose true sound is known."""
    if group.task in TASKS and group.originals is not None:
        template = evaluation.template(group.task, reference="beats of the true sound", sound_only=True)
        evaluation.figures.add(template, tuple(TOLERANCES_SEC), partial(_figures, evaluation, group, template))


def _figures(evaluation: Evaluation, group: Group, template: Figure) -> list[Figure]:
    assert group.originals is not None
    rate = evaluation.audio.sample_rate_hz
    made, true = ([beat_times(float_waveform(window.waveform), rate) for window in windows] for windows in (group.windows, group.originals))
    own, wrong = [(i, i) for i in range(len(made))], wrong_pairs(evaluation, group).tolist()
    figures = []
    for name, tolerance_sec in TOLERANCES_SEC.items():
        hits, chance = (shares([beat_hits(made[i], true[j], tolerance_sec) for i, j in pairs]) for pairs in (own, wrong))
        figure = alignment_figure(evaluation, group, name, hits, chance, template, floor_kind=FLOOR_KIND)
        figures.append(_marked(figure, evaluation.clip.window_sec, tolerance_sec))
    return figures


def beat_times(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Times in seconds of the beats that librosa finds, sorted, [beats]; none in silence.

    Args:
        waveform: float32 [S] in [-1, 1].
    """
    librosa = compiled_librosa()
    sound = librosa.resample(waveform, orig_sr=sample_rate_hz, target_sr=RATE_HZ)
    return librosa.beat.beat_track(y=sound, sr=RATE_HZ, units="time")[1]


def beat_hits(made_sec: np.ndarray, true_sec: np.ndarray, tolerance_sec: float) -> tuple[int, int]:
    """(true beats that are hit, true beats); both lists sorted."""
    return len(match(made_sec, true_sec, tolerance_sec)), len(true_sec)


def _marked(figure: Figure, window_sec: float, tolerance_sec: float) -> Figure:
    """The figure with what limits it."""
    said = [f"not valid under {MIN_SEC:g} s, windows last {window_sec:g} s"] if window_sec < MIN_SEC else []
    if tolerance_sec >= SATURATING_SEC:
        said.append("saturates: two beats of usual music lie within this tolerance")
    return replace(figure, valid=figure.valid and not said, note="; ".join(part for part in (*said, figure.note) if part))
