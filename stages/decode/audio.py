"""The sound of a clip: mono, at one rate, in step with its frames.

PyAV decodes (decord shortens damaged sound without an error and drops a track's start offset), torchaudio resamples.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import torch
from torchaudio.transforms import Resample

from stages.inventory.audio_timeline import SMOOTHING_SEC, lay_pieces
from stages.inventory.streams import float_samples, piece_start_sec, sound_stream, tick_sec

SEEK_MARGIN_SEC = 1.0
"""Codecs need some packets before the first true sample (Opus asks for 80 ms)."""
FILTER_WIDTH = 16
"""Zero crossings of the resampling filter; torchaudio's default of 6 lets more through above half of the rate."""


def read_waveform(path: Path, zero_sec: float, start_sec: float, duration_sec: float, rate_hz: int) -> np.ndarray:
    """float32 [round(duration * rate)], mean of the channels; may exceed 1.0 where a float codec does.

    Args:
        path: the file.
        zero_sec: timestamp of the first shown frame; sample 0 is the sound at `zero_sec + start_sec`.
        start_sec: first moment of the clip.
        duration_sec: length of the clip; where the track is silent or absent there are zeros.
        rate_hz: sample rate asked for.
    """
    native_hz, times, pieces = _pieces(path, zero_sec + start_sec, duration_sec)
    sizes = np.array([len(piece) for piece in pieces], np.int64)
    mono = np.zeros(int(np.ceil(duration_sec * native_hz)), np.float32)
    for first, piece in zip(lay_pieces(np.array(times) - (zero_sec + start_sec), sizes, native_hz), pieces, strict=True):
        begin, end = max(first, 0), min(first + len(piece), len(mono))
        if begin < end:
            mono[begin:end] = piece[begin - first:end - first]
    wave = _resampler(native_hz, rate_hz)(torch.from_numpy(mono)).numpy()
    length = round(duration_sec * rate_hz)
    return np.pad(wave[:length], (0, max(length - len(wave), 0)))


def first_sample_sec(path: Path) -> float:
    """Timestamp of a file's first sample; what an encoder put before it is not counted."""
    first = next(_decoded(path, None), None)
    assert first is not None, f"no sound in {path}"
    return first[0]


def to_int16(wave: np.ndarray) -> tuple[np.ndarray, float]:
    """(int16 [S], gain): scaled by 1 / peak only where the peak exceeds full scale, so that nothing is clipped.

    Args:
        wave: float32 [S], full scale 1.0.
    """
    peak = float(np.abs(wave).max(initial=0.0))
    gain = 1.0 / peak if peak > 1.0 else 1.0
    return np.clip(np.round(wave.astype(np.float64) * gain * 32768), -32768, 32767).astype(np.int16), gain


@lru_cache(maxsize=8)
def _resampler(from_hz: int, to_hz: int) -> Resample:
    return Resample(from_hz, to_hz, lowpass_filter_width=FILTER_WIDTH)


def _pieces(path: Path, at_sec: float, duration_sec: float) -> tuple[int, list[float], list[np.ndarray]]:
    """(sample rate, timestamps, mono pieces) that cover the stretch and enough around it to smooth the timestamps."""
    margin = max(SEEK_MARGIN_SEC, SMOOTHING_SEC / 2)
    for seek_sec in (at_sec - margin, None):
        rate_hz, times, pieces = 0, [], []
        for time_sec, frame in _decoded(path, seek_sec):
            if time_sec > at_sec + duration_sec + SMOOTHING_SEC / 2:
                break
            rate_hz = frame.sample_rate
            times.append(time_sec)
            pieces.append(float_samples(frame).mean(axis=0))
        # A seek that lands too late is made up for by reading from the beginning.
        if seek_sec is None or seek_sec <= 0 or (times and times[0] <= at_sec):
            break
    assert pieces, f"no sound in {path} at {at_sec} s"
    return rate_hz, times, pieces


def _decoded(path: Path, seek_sec: float | None) -> Iterator[tuple[float, av.AudioFrame]]:
    with av.open(str(path), metadata_errors="replace") as container:
        audio = sound_stream(container)
        audio.codec_context.thread_count = 1
        seconds_per_tick, end_sec = tick_sec(audio), None
        after_seek = seek_sec is not None and seek_sec > 0
        if after_seek:
            assert seek_sec is not None
            container.seek(int(seek_sec / seconds_per_tick), stream=audio)
        for packet in container.demux(audio):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                if not after_seek:
                    raise
                continue  # a seek may land in the middle of a piece (MPEG program streams)
            after_seek = after_seek and not frames
            for frame in frames:
                time_sec = piece_start_sec(frame, seconds_per_tick, end_sec)
                if time_sec is not None:
                    end_sec = time_sec + frame.samples / frame.sample_rate
                    yield time_sec, frame
