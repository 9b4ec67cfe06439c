"""AV-Align: how far peaks of motion and onsets of sound coincide, as intersection over union (Yariv et al. 2023, TempoTokens).

The published program changed on 13 February 2025, and both forms are in use: Seeing and Hearing and JavisBench report the older one.

`av_align`            the corrected form: a peak of motion needs 0.1 px of mean flow, each peak has one partner at most; 0 to 1
`av_align_original`   the older form: every local maximum is a peak, an onset counts as hit whenever any peak is near, so that many
                      onsets around one peak give more than 1

Motion is the mean length of Farneback's optical flow, sound librosa's onsets at 22,050 Hz, near means less than one frame apart: at
10 fps 100 ms, at 4 fps 250 ms, so that figures of different frame rates do not compare. Departures from the published program:
partners in the corrected form are as many as can be made (there: the first free one, which can lose a pair), clips without
any peak and onset are left out and counted (there: a division by zero), flow is computed by `optical_flow.py` and not by OpenCV.
"""

from functools import partial

import numpy as np
import torch

from stages.evaluate.alignment import alignment_figure, heard_and_seen, wrong_pairs
from stages.evaluate.compiled_librosa import RATE_HZ, compiled_librosa
from stages.evaluate.evaluation import ONE_MODALITY, Evaluation, Group
from stages.evaluate.events import match
from stages.evaluate.figures import Figure
from stages.evaluate.optical_flow import mean_flow
from stages.evaluate.shares import Shares, shares

MIN_FLOW_PX = 0.1
NAMES = ("av_align", "av_align_original")


def measure(evaluation: Evaluation, group: Group) -> None:
    """av_align and av_align_original of tasks with sound and picture; the floor puts pictures beside sounds of other sources."""
    if group.task not in ONE_MODALITY:
        template = evaluation.template(group.task)
        evaluation.figures.add(template, NAMES, partial(_figures, evaluation, group, template))


def _figures(evaluation: Evaluation, group: Group, template: Figure) -> list[Figure]:
    fps, rate = evaluation.clip.fps, evaluation.audio.sample_rate_hz
    flows, onsets = heard_and_seen(group, flow_of, partial(audio_onsets, sample_rate_hz=rate))
    own, wrong = [(i, i) for i in range(len(flows))], wrong_pairs(evaluation, group).tolist()
    made = []
    for name, score, floor_px, most in ((NAMES[0], iou, MIN_FLOW_PX, 1.0), (NAMES[1], original_iou, 0.0, np.inf)):
        peaks = [motion_peaks(flow, fps, floor_px) for flow in flows]
        true, chance = (_scores([score(onsets[j], peaks[i], fps) for i, j in pairs]) for pairs in (own, wrong))
        made.append(alignment_figure(evaluation, group, name, true, chance, template, bounds=(0.0, most)))
    return made


def flow_of(frames: np.ndarray) -> np.ndarray:
    """How much moves up to each frame, pixels [F]; the first frame takes the second's, as published.

    Args:
        frames: uint8 [F, H, W, 3].
    """
    flow = mean_flow(torch.from_numpy(frames)).numpy()
    return np.concatenate([flow[:1], flow])


def motion_peaks(flow: np.ndarray, fps: float, min_flow_px: float) -> np.ndarray:
    """Times in seconds at which more moves than just before and just after, [peaks].

    Args:
        flow: [F] pixels.
        min_flow_px: smaller peaks are none.
    """
    middle = flow[1:-1]
    peak = (flow[:-2] < middle) & (middle > flow[2:]) & (middle >= min_flow_px)
    return (np.flatnonzero(peak) + 1) / fps


def audio_onsets(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Times in seconds at which librosa finds that a sound begins, [onsets].

    Args:
        waveform: float32 [S] in [-1, 1].
    """
    librosa = compiled_librosa()
    sound = librosa.resample(waveform, orig_sr=sample_rate_hz, target_sr=RATE_HZ)
    strength = librosa.onset.onset_strength(y=sound, sr=RATE_HZ)
    return librosa.frames_to_time(librosa.onset.onset_detect(onset_envelope=strength, sr=RATE_HZ), sr=RATE_HZ)


def iou(onsets: np.ndarray, peaks: np.ndarray, fps: float) -> float | None:
    """The corrected form, in [0, 1]; None when there is neither onset nor peak. Both sorted, seconds."""
    pairs = len(match(onsets, peaks, float(np.nextafter(1 / fps, 0))))
    union = len(onsets) + len(peaks) - pairs
    return pairs / union if union else None


def original_iou(onsets: np.ndarray, peaks: np.ndarray, fps: float) -> float | None:
    """The older form, 0 or more; None where it divides by zero."""
    hits = int((np.abs(onsets[:, None] - peaks) < 1 / fps).any(1).sum())
    union = len(onsets) + len(peaks) - hits
    return hits / union if union else None


def _scores(values: list[float | None]) -> Shares:
    """Each clip's score counts once; one without a score does not count."""
    return shares([(0.0, 0.0) if value is None else (value, 1.0) for value in values])
