"""Synchrony of picture and sound, measured from pixels and samples alone (not in the paper).

The demo's kinds are known, so that their moments of action can be read from a clip, real or generated: where the ball turns
round, when the lamp flares up. Onsets of the sound are found without knowing the kind. A score then says how many of the
one have a partner among the other within a tolerance; beside it always stands the floor: the same score with each clip's
picture beside the sound of another source of the same kind. A clip that sounds all the time would hit everything by chance.

Legend: F frames, H x W pixels, S samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import find_peaks

from stages.evaluate.shares import Shares, shares
from stages.evaluate.shuffled_pairs import strangers

MIN_CONTRAST = 24.0
"""Nothing is seen that differs from the background by fewer gray levels."""
MIN_TRAVEL = 0.03
"""Nothing moves that travels a smaller share of the picture's side (two pixels of 64)."""
MIN_PROMINENCE = 0.35
"""An event stands out by this share of the clip's own range, so that a pale or blurred clip is judged by its own measure."""
MIN_INTERVAL_SEC = 0.3
SILENCE = 1e-3
"""Root mean square of the loudest moment of a silent clip: -60 dB."""


@dataclass(frozen=True, slots=True)
class SoundingClip:
    """One clip or window to be scored; both begin at the same moment."""

    frames: np.ndarray
    """uint8 [F, H, W, 3] in [0, 255]."""
    waveform: np.ndarray
    """float32 [S] in [-1, 1]."""
    kind: str
    """One of KINDS."""
    source: str
    """What the clip belongs to; no floor is made of two clips of one source."""
    true_sec: np.ndarray | None = None
    """True event times from the clip's begin, where they are known."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well one list of event times covers another, clip by clip."""

    recall: Shares
    """Of each clip, how many of the reference events (seen, or true) have a partner."""
    precision: Shares
    """How many of the other events (heard, or detected) have a partner."""


@dataclass(frozen=True, slots=True)
class SynchronyScore:
    """Seen events against heard ones, the floor of shuffled pairs, and both detectors against the truth where it is known."""

    matched: Agreement
    floor: Agreement
    video_truth: Agreement | None
    audio_truth: Agreement | None
    num_clips: int
    num_video_events: int
    num_audio_events: int


def synchrony(clips: Sequence[SoundingClip], *, fps: float, sample_rate: int, tolerance_sec: float, seed: int) -> SynchronyScore:
    """Score a set of clips of the demo's kinds.

    Args:
        clips: at least one; of two or more sources of a kind, so that the floor pairs like with like.
        fps: frames per second of all clips.
        sample_rate: of all waveforms, Hz.
        tolerance_sec: how near two events are partners.
        seed: root seed of the shuffle.
    """
    seen = [video_events(clip.frames, fps, clip.kind) for clip in clips]
    heard = [audio_events(clip.waveform, sample_rate) for clip in clips]
    spans = [_scored_span(len(clip.frames), fps, tolerance_sec) for clip in clips]
    triples = list(zip(seen, heard, spans, strict=True))
    kinds = [KINDS.index(clip.kind) for clip in clips]
    shuffled = [(seen[i], heard[j], spans[i]) for i, j in strangers(kinds, [clip.source for clip in clips], seed)]
    known = [i for i, clip in enumerate(clips) if clip.true_sec is not None]
    truth = [np.sort(np.asarray(clips[i].true_sec, float)) for i in known]
    video_truth = [(true, seen[i], spans[i]) for i, true in zip(known, truth, strict=True)]
    audio_truth = [(true, heard[i], spans[i]) for i, true in zip(known, truth, strict=True)]
    return SynchronyScore(
        matched=agreement(triples, tolerance_sec),
        floor=agreement(shuffled, tolerance_sec),
        video_truth=agreement(video_truth, tolerance_sec) if known else None,
        audio_truth=agreement(audio_truth, tolerance_sec) if known else None,
        num_clips=len(clips),
        num_video_events=sum(map(len, seen)),
        num_audio_events=sum(map(len, heard)),
    )


def agreement(triples: Sequence[tuple[np.ndarray, np.ndarray, tuple[float, float]]], tolerance_sec: float) -> Agreement:
    """Recall and precision of (reference times, other times, scored span) of many clips.

    An event outside its clip's span is not counted, but may be the partner of one inside.
    """
    counts: list[list[tuple[float, float]]] = [[], []]
    for reference, other, (begin, end) in triples:
        pairs = match(reference, other, tolerance_sec)
        for side, times in enumerate((reference, other)):
            inside = (times >= begin) & (times <= end)
            counts[side].append((int(inside[pairs[:, side]].sum()), int(inside.sum())))
    return Agreement(recall=shares(counts[0]), precision=shares(counts[1]))


def match(a: np.ndarray, b: np.ndarray, tolerance_sec: float) -> np.ndarray:
    """The most pairs that can be made of two sorted lists of times, each time used once, partners at most `tolerance_sec` apart.

    Returns:
        Indices int [pairs, 2] into a and b.
    """
    pairs, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        if abs(a[i] - b[j]) <= tolerance_sec:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif a[i] < b[j]:
            i += 1
        else:
            j += 1
    return np.array(pairs, int).reshape(-1, 2)


def video_events(frames: np.ndarray, fps: float, kind: str) -> np.ndarray:
    """Times in seconds, sorted, at which something happens in the picture.

    Args:
        frames: uint8 [F, H, W, 3] in [0, 255].
        fps: frames per second.
        kind: one of KINDS; says what to look for.
    """
    object_cover = foreground(frames)
    if len(frames) < 4 or object_cover is None:
        return np.zeros(0)
    return TRACKERS[kind](object_cover, fps)


def foreground(frames: np.ndarray) -> np.ndarray | None:
    """How much of the object is in each pixel, float32 [F, H, W] in [0, 1]; None when nothing stands out.

    The background is what the two upper corners show most of the time; a quarter of the greatest contrast counts as
    background too (the demo's floor, compression, the haze of a generated clip).
    """
    side = max(frames.shape[2] // 6, 1)
    corners = np.concatenate([frames[:, :side, :side], frames[:, :side, -side:]], axis=2)
    background = np.median(corners.reshape(-1, 3), axis=0)
    contrast = np.abs(frames.astype(np.float32) - background.astype(np.float32)).max(axis=3)
    most = float(np.quantile(contrast, 0.998))
    if most < MIN_CONTRAST:
        return None
    return np.clip((contrast / most - 0.25) / 0.75, 0, 1).astype(np.float32)


def landings(cover: np.ndarray, fps: float) -> np.ndarray:
    """Bounce: the ball's path turns upward, a corner in its height."""
    return _turns(_centre(cover, axis=1), fps, sharp=True)


def turning_points(cover: np.ndarray, fps: float) -> np.ndarray:
    """Pendulum: the bob turns round on either side, smoothly."""
    x = _centre(cover, axis=2)
    return np.sort(np.concatenate([_turns(x, fps, sharp=False), _turns(-x, fps, sharp=False)]))


def contacts(cover: np.ndarray, fps: float) -> np.ndarray:
    """Clack: the two balls are nearest, a corner in their spread."""
    across = cover.sum(axis=1) + 1e-9                                              # (F, W)
    place = (np.arange(cover.shape[2]) + 0.5) / cover.shape[2]
    mean = (across * place).sum(1) / across.sum(1)
    spread = np.sqrt((across * (place - mean[:, None]) ** 2).sum(1) / across.sum(1))
    return _turns(-spread, fps, sharp=True)


def flares(cover: np.ndarray, fps: float) -> np.ndarray:
    """Lamp and rain: what is seen in all rises at once.

    A rise that two or more steps share lies at their weighted middle.
    """
    amount = cover.mean(axis=(1, 2))
    steps = np.maximum(np.diff(amount), 0)
    span = np.ptp(amount)
    if span < 0.01 or len(steps) == 0:
        return np.zeros(0)
    runs = np.split(np.arange(len(steps)), np.flatnonzero(np.diff(steps > 0.05 * span)) + 1)
    return np.array([np.average(run + 0.5, weights=steps[run]) / fps for run in runs if steps[run].sum() >= MIN_PROMINENCE * span])


TRACKERS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "bounce": landings, "pendulum": turning_points, "lamp": flares, "clack": contacts, "rain": flares,
}
KINDS = tuple(TRACKERS)
"""Kinds of clip that can be scored."""

WINDOW_SEC, HOP_SEC, NUM_BANDS, BAND_HZ = 0.032, 0.008, 8, (80.0, 7600.0)
COMPRESSION = 0.25
"""Power of the energy that stands for loudness: strong enough for quiet events, weak enough for echoes before the event."""
MIN_FLUX = 0.2
"""A sound begins when loudness rises by this share of the clip's greatest loudness within RISE_SEC (steady noise: up to 0.18;
a real onset: 0.7 and more, one from a badly blurred mel image: 0.25 and more)."""
RISE_SEC = 0.048


def audio_events(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Times in seconds, sorted, at which a sound begins.

    Onsets are peaks of the spectral flux: the rise of loudness, summed over a few wide bands.

    Args:
        waveform: float [S] in [-1, 1].
        sample_rate: Hz.
    """
    loudness = band_loudness(np.asarray(waveform, np.float64), sample_rate)        # (frames, bands)
    lag = round(RISE_SEC / HOP_SEC)
    if len(loudness) <= lag or loudness.sum(1).max() == 0:
        return np.zeros(0)
    flux = np.maximum(loudness[lag:] - loudness[:-lag], 0).sum(1) / loudness.sum(1).max()
    height = max(MIN_FLUX, MIN_PROMINENCE * flux.max())
    peaks, _ = find_peaks(np.pad(flux, 1), height=height, distance=round(MIN_INTERVAL_SEC / 2 / HOP_SEC), prominence=height / 2)
    # Flux k compares the windows k and k + lag; the sound begins between their middles.
    return (peaks - 1 + lag / 2) * HOP_SEC + WINDOW_SEC / 2


def band_loudness(waveform: np.ndarray, sample_rate: int) -> np.ndarray:
    """Compressed energy float [frames, NUM_BANDS] of windows at HOP_SEC; all zero where the whole clip is silent."""
    window, hop = round(WINDOW_SEC * sample_rate), round(HOP_SEC * sample_rate)
    if len(waveform) < window:
        return np.zeros((0, NUM_BANDS))
    pieces = np.lib.stride_tricks.sliding_window_view(waveform, window)[::hop]
    if np.sqrt((pieces**2).mean(1).max()) < SILENCE:
        return np.zeros((len(pieces), NUM_BANDS))
    energy = np.abs(np.fft.rfft(pieces * np.hanning(window), axis=1)) ** 2
    edges = np.geomspace(BAND_HZ[0], min(BAND_HZ[1], sample_rate / 2), NUM_BANDS + 1)
    band = np.searchsorted(edges, np.fft.rfftfreq(window, 1 / sample_rate)) - 1
    return np.stack([energy[:, band == i].sum(1) for i in range(NUM_BANDS)], axis=1) ** COMPRESSION


def _centre(cover: np.ndarray, axis: int) -> np.ndarray:
    """Centre of what is seen along an axis (1: down, 2: across), float [F], a share of the side; an empty moment takes the mean."""
    weight = cover.sum(axis=3 - axis).astype(np.float64)                           # (F, side)
    total = weight.sum(1)
    place = (np.arange(weight.shape[1]) + 0.5) / weight.shape[1]
    centre = (weight * place).sum(1) / np.maximum(total, 1e-9)
    return np.where(total > 0.1 * total.max(), centre, np.average(centre, weights=total))


def _turns(path: np.ndarray, fps: float, *, sharp: bool) -> np.ndarray:
    """Times of the maxima of a path, between frames where they fall there.

    Args:
        path: float [F], a share of the picture's side.
        sharp: a corner (equal slopes on both sides) or smooth (a parabola).
    """
    span = np.ptp(path)
    if span < MIN_TRAVEL:
        return np.zeros(0)
    # The ends are no turns; beyond them the path counts as low, so that a turn one frame from an end is one.
    padded = np.concatenate([[path.min() - span], path, [path.min() - span]])
    peaks = find_peaks(padded, prominence=MIN_PROMINENCE * span, distance=max(round(MIN_INTERVAL_SEC * fps), 1))[0] - 1
    peaks = peaks[(peaks > 0) & (peaks < len(path) - 1)]
    before, at, after = path[peaks - 1], path[peaks], path[peaks + 1]
    drop = np.maximum(at - before, at - after) if sharp else 2 * at - before - after
    return (peaks + np.clip((after - before) / (2 * np.maximum(drop, 1e-9)), -0.5, 0.5)) / fps


def _scored_span(num_frames: int, fps: float, tolerance_sec: float) -> tuple[float, float]:
    """The stretch of a clip whose events both picture and sound can show: the frames', less the tolerance at either end."""
    return tolerance_sec, (num_frames - 1) / fps - tolerance_sec
