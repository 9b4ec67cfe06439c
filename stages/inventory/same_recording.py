"""Two files, read again where they should be alike: do they hold the same recording?

Fingerprints say so of any two that are alike. A copy is more: its sound follows the other's wave for wave, which another
performance never does, not on the same instrument and in the same rhythm; and the pictures change in the same way at the same
times, which another take before the same background, to the same music, does not.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import scipy.signal
from av.container import InputContainer
from av.video.reformatter import VideoReformatter

from stages.inventory.fingerprint import RATE_HZ, SIDE
from stages.inventory.near_duplicates import SLACK_SEC
from stages.inventory.streams import float_samples, picture_stream, piece_start_sec, rotation_of, sound_stream, tick_sec
from stages.inventory.watchdog import watchdog

READ_FROM_START_SEC = 60.0
"""Up to here a file is read from its start, beyond it is entered in the middle."""
LEAD_SEC = 2.0
"""Read before what is needed, after an entry in the middle: decoders of sound need some."""
PICTURES_HZ = 4
BAND_HZ = (100.0, 3000.0)
"""What the codecs keep at low rates."""
BAND = scipy.signal.butter(4, BAND_HZ, "band", fs=RATE_HZ, output="sos")
KEPT_SEC, KEPT_FILES = 30.0, 64
"""A worker keeps the sound of so many files up to this length: 60 MB at most."""
MIN_SOUND, MIN_PICTURE, MIN_CHANGE = 0.82, 0.8, 0.7
"""Correlations. Copies of real clips (tests.benchmarks.near_duplicates, 96 of 16): sound 0.877, picture 0.986, change 0.747 at least. Pairs
of demo clips, alike in kind, size and rhythm: sound 0.775 at most (picture and change would not tell them apart). Two takes before
the same background, one music put under both, 11 pairs: change 0.64 at most."""
FRAME_SEC = 0.1
"""The pictures of 10 a second lie so far apart."""
STILL = 2.0
"""Grey levels of standard deviation about the mean picture below which nothing moves."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of two files."""

    path: str
    """Relative to `Pair.source`."""
    sha256: str
    zero_sec: float
    """Its own time of its first frame."""
    audio_end_sec: float
    """Where its sound ends, from its first frame on."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two files and where to look."""

    source: Path
    first: Side
    second: Side
    begin_sec: float
    """In the first file, from its first frame."""
    duration_sec: float
    lag_sec: float
    """What is at t in the first is about at t + lag_sec in the second."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it."""

    first: str
    second: str
    same: bool
    lag_sec: float
    sound: float
    """Correlation of the waves at `lag_sec`."""
    picture: float | None
    """Mean correlation of the pictures; None where the sound is another already."""
    change: float | None
    """Correlation of their changes; None where nothing moves too."""

    def key(self) -> tuple[str, str]:
        """By which it is known."""
        return self.first, self.second


def verdict_from(row: Mapping[str, Any]) -> Verdict:
    """From a row of pairs.parquet."""
    return Verdict(**{field.name: row[field.name] for field in fields(Verdict)})


def judge(pair: Pair) -> Verdict:
    """Whether two files hold the same recording; files that cannot be read are not the same."""
    lag_sec, sound, picture, change = pair.lag_sec, 0.0, None, None
    with suppress(av.error.FFmpegError, OSError, ValueError), watchdog():
        wave = _read_sound(pair.source, pair.first, pair.begin_sec, pair.duration_sec)
        longer = _read_sound(pair.source, pair.second, pair.begin_sec + pair.lag_sec - SLACK_SEC, pair.duration_sec + 2 * SLACK_SEC)
        shift, sound = _wave_shift(wave, longer)
        lag_sec += shift / RATE_HZ - SLACK_SEC
        if sound >= MIN_SOUND:
            seen = [_read_pictures(pair.source / side.path, side.zero_sec, begin_sec, pair.duration_sec)
                    for side, begin_sec in ((pair.first, pair.begin_sec), (pair.second, pair.begin_sec + lag_sec))]
            picture, change = _picture_likeness(seen[0], seen[1], pair, lag_sec)
    same = picture is not None and picture >= MIN_PICTURE and (change is None or change >= MIN_CHANGE)
    return Verdict(pair.first.sha256, pair.second.sha256, same, round(lag_sec, 4), round(sound, 4),
                   None if picture is None else round(picture, 4), None if change is None else round(change, 4))


def _read_sound(source: Path, side: Side, begin_sec: float, duration_sec: float) -> np.ndarray:
    """float [n] at RATE_HZ, one channel, BAND_HZ; times as those of the picture. ValueError where there is none."""
    if side.audio_end_sec <= KEPT_SEC:
        first_sec, wave = _whole_sound(source / side.path, side.zero_sec)
    else:
        first_sec, wave = _decoded_sound(source / side.path, side.zero_sec, begin_sec, begin_sec + duration_sec)
    before, needed = round((first_sec - begin_sec) * RATE_HZ), round(duration_sec * RATE_HZ)
    wave = np.concatenate([np.zeros(before), wave]) if before > 0 else wave[-before:]
    return np.pad(wave[:needed], (0, max(needed - len(wave), 0)))


@lru_cache(maxsize=KEPT_FILES)
def _whole_sound(path: Path, zero_sec: float) -> tuple[float, np.ndarray]:
    """A short file is in several pairs, one after the other."""
    return _decoded_sound(path, zero_sec, 0.0, math.inf)


def _decoded_sound(path: Path, zero_sec: float, begin_sec: float, end_sec: float) -> tuple[float, np.ndarray]:
    """(time of the first sample, float [n] at RATE_HZ) of a stretch, begun somewhat earlier so that decoder and filter have settled."""
    heard = av.AudioFifo()
    first_sec: float | None = None
    before_sec: float | None = None
    with _entered(path, zero_sec, begin_sec) as container:
        audio = sound_stream(container)
        audio.codec_context.thread_count = 1
        tick = tick_sec(audio)
        for frame in container.decode(audio):
            assert isinstance(frame, av.AudioFrame)
            start_sec = piece_start_sec(frame, tick, before_sec)
            if start_sec is None:
                continue
            before_sec, time_sec = start_sec + frame.samples / frame.sample_rate, start_sec - zero_sec
            if time_sec > end_sec:
                break
            if time_sec >= begin_sec - LEAD_SEC:
                first_sec = time_sec if first_sec is None else first_sec
                frame.pts = None  # one after the other, whatever gaps lie between them
                heard.write(frame)
    whole = heard.read() if first_sec is not None else None
    if whole is None or first_sec is None:
        raise ValueError("no sound there")
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
    mono = av.AudioFrame.from_ndarray(float_samples(whole).mean(axis=0, keepdims=True), format="flt", layout="mono")
    mono.sample_rate = whole.sample_rate
    wave = np.concatenate([piece.to_ndarray()[0] for one in (mono, None) for piece in resampler.resample(one)])
    return first_sec, scipy.signal.sosfilt(BAND, wave).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Seen:
    times_sec: np.ndarray
    pictures: np.ndarray
    """float32 [n, SIDE * SIDE], grey."""


def _read_pictures(path: Path, zero_sec: float, begin_sec: float, duration_sec: float) -> _Seen:
    """The pictures shown in a stretch, upright; ValueError where there is none."""
    times: list[float] = []
    pictures: list[np.ndarray] = []
    reformatter = VideoReformatter()
    with _entered(path, zero_sec, begin_sec) as container:
        video = picture_stream(container)
        video.codec_context.thread_count = 1
        tick = tick_sec(video)
        for frame in container.decode(video):
            assert isinstance(frame, av.VideoFrame)
            if frame.pts is None:
                continue
            time_sec = frame.pts * tick - zero_sec
            if time_sec > begin_sec + duration_sec:
                break
            if time_sec < begin_sec:  # of those before the begin, the last one is shown at it
                times, pictures = [], []
            small = reformatter.reformat(frame, width=SIDE, height=SIDE, format="gray", interpolation="AREA", threads=1).to_ndarray()
            times.append(time_sec)
            pictures.append(np.rot90(small, rotation_of(frame) // 90).astype(np.float32).ravel())
    if not pictures:
        raise ValueError("no picture there")
    return _Seen(np.array(times), np.stack(pictures))


@contextmanager
def _entered(path: Path, zero_sec: float, begin_sec: float) -> Iterator[InputContainer]:
    """A file ready to be decoded from its start, or from a little before `begin_sec` on where that is far."""
    with av.open(str(path), metadata_errors="replace") as container:
        if begin_sec > READ_FROM_START_SEC:
            container.seek(int((zero_sec + begin_sec - LEAD_SEC) * av.time_base))
        yield container


def _wave_shift(a: np.ndarray, b: np.ndarray) -> tuple[int, float]:
    """Where in the longer `b` the wave `a` lies, in samples, and how much they correlate there."""
    products = scipy.signal.correlate(b, a, "valid", method="fft")
    sums = np.concatenate([[0.0], np.cumsum(np.square(b))])
    powers = (sums[len(a):] - sums[:-len(a)]) * np.square(a).sum()
    correlation = products / np.sqrt(np.maximum(powers, 1e-12))
    best = int(np.argmax(correlation))
    return best, float(correlation[best])


def _picture_likeness(a: _Seen, b: _Seen, pair: Pair, lag_sec: float) -> tuple[float, float | None]:
    """(mean correlation of pictures of the same time, correlation of their changes or None where nothing moves)."""
    moments = pair.begin_sec + np.arange(0, pair.duration_sec, 1 / PICTURES_HZ)
    shown = np.maximum(np.searchsorted(a.times_sec, moments + 1e-3, side="right") - 1, 0)
    change_a, change_b = a.pictures - a.pictures[shown].mean(axis=0), b.pictures - b.pictures.mean(axis=0)
    same_time = [_best_near(change_a[i], change_b, np.abs(b.times_sec - a.times_sec[i] - lag_sec)) for i in shown]
    p, q = a.pictures[shown], b.pictures[same_time]
    likeness = _correlations(p - p.mean(axis=1, keepdims=True), q - q.mean(axis=1, keepdims=True))
    likeness[np.maximum(p.std(axis=1), q.std(axis=1)) < STILL] = 1.0  # both of one colour
    picture = float(likeness.mean())
    p, q = change_a[shown], change_b[same_time]
    if max(p.std(), q.std()) < STILL:
        return picture, None
    return picture, float(_correlations(p.ravel()[None], q.ravel()[None])[0])


def _best_near(change: np.ndarray, others: np.ndarray, apart_sec: np.ndarray) -> int:
    """Of the pictures `FRAME_SEC` around the same time the most like one: at another frame rate none is of just that time."""
    near = np.flatnonzero(apart_sec <= max(FRAME_SEC, float(apart_sec.min())))
    return int(near[np.argmax(_correlations(np.broadcast_to(change, others[near].shape), others[near]))])


def _correlations(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Of each row of `p` with that of `q`; about 0 where one is flat."""
    return (p * q).sum(axis=1) / np.sqrt(np.square(p).sum(axis=1) * np.square(q).sum(axis=1) + 1.0)
