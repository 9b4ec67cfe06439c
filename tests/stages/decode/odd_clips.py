"""Clips of many formats, made from a formula: a flash and a click at one moment, whatever the codec, the container, the clock."""

import struct
from collections.abc import Iterator, Sequence
from fractions import Fraction
from heapq import merge
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

EVENT_SEC = 1.0
EVENT_LENGTH_SEC = 0.2
COLOUR = (200, 80, 30)
"""Of the square that moves through the picture, top left."""


def write_odd_clip(
    path: Path, *, codec: str = "libx264", pixels: str = "yuv420p", fps: Fraction | int = 25, seconds: float = 3.2,
    size: tuple[int, int] = (160, 96), options: dict[str, str] | None = None, clock: Fraction | None = None,
    video_start_sec: float = 0.0, sample_aspect: Fraction | None = None, matrix: int | None = None, full_range: bool = False,
    audio_codec: str = "aac", rate_hz: int = 44100, layout: str = "mono", audio_start_sec: float = 0.0, level: float = 0.05,
    click_channels: Sequence[int] | None = None, bit_rate: int | None = None, container_options: dict[str, str] | None = None,
) -> Path:
    """A grey picture with a square, white for 0.2 s at EVENT_SEC; a tone with a click of 20 ms at the same moment.

    Args:
        codec, pixels, options: of the picture, in FFmpeg's names.
        clock: time base of the picture; None: one frame.
        video_start_sec: timestamp of the first frame; the sound's times move with it.
        matrix: 1 for BT.709, 5 for BT.601; None: not told.
        audio_start_sec: where the sound begins; below 0: before the picture.
        click_channels: channels that hold the click; None: all.
        bit_rate: of the sound; None: the codec's own choice.
    """
    with av.open(str(path), "w", options=container_options or {}) as container:
        video = container.add_stream(codec, rate=fps, options=options or {})
        video.width, video.height, video.pix_fmt = *size, pixels
        if clock is not None:
            video.codec_context.time_base = clock
        if sample_aspect is not None:
            video.codec_context.sample_aspect_ratio = sample_aspect
        if matrix is not None:
            video.codec_context.colorspace, video.codec_context.color_range = matrix, 2 if full_range else 1
        audio = container.add_stream(audio_codec, rate=rate_hz, layout=layout)
        if bit_rate is not None:
            audio.bit_rate = bit_rate
        frames = _frames(Fraction(fps), clock or 1 / Fraction(fps), seconds, size, pixels, video_start_sec, matrix, full_range)
        sounds = _sounds(audio, rate_hz, layout, (audio_start_sec, seconds), video_start_sec, level, click_channels)
        for _, kind, frame in merge(frames, sounds, key=lambda entry: entry[0]):
            container.mux((video if kind == "video" else audio).encode(frame))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def _frames(
    fps: Fraction, clock: Fraction, seconds: float, size: tuple[int, int], pixels: str, start_sec: float,
    matrix: int | None, full_range: bool,
) -> Iterator[tuple[float, str, av.VideoFrame]]:
    for i in range(round(seconds * fps)):
        time = i / fps
        picture = np.full((size[1], size[0], 3), 40, np.uint8)
        left = int(time * 40) % (size[0] - 24)
        picture[8:24, left:left + 16] = COLOUR
        if EVENT_SEC <= time < EVENT_SEC + EVENT_LENGTH_SEC:
            picture[:] = 255
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        if matrix is not None:
            frame = frame.reformat(format=pixels, dst_colorspace=matrix, dst_color_range=2 if full_range else 1)
            frame.colorspace, frame.color_range = matrix, 2 if full_range else 1
        frame.time_base, frame.pts = clock, round((time + Fraction(start_sec).limit_denominator(1000)) / clock)
        yield float(time), "video", frame


def _sounds(
    audio: av.AudioStream, rate_hz: int, layout: str, stretch: tuple[float, float], start_sec: float, level: float,
    click_channels: Sequence[int] | None,
) -> Iterator[tuple[float, str, av.AudioFrame]]:
    first = round(stretch[0] * rate_hz)
    moments = np.arange(first, round(stretch[1] * rate_hz)) / rate_hz
    tone = level * np.sin(2 * np.pi * 440 * moments)
    click = 0.6 * np.sin(2 * np.pi * 2000 * moments) * ((moments >= EVENT_SEC) & (moments < EVENT_SEC + 0.02))
    channels = range(len(av.AudioLayout(layout).channels))
    wave = np.stack([tone + click * (click_channels is None or i in click_channels) for i in channels]).astype(np.float32)
    context = audio.codec_context
    shaped = av.AudioResampler(format=context.format.name, layout=layout, rate=rate_hz, frame_size=context.frame_size or None)
    for begin, end in pairwise([*range(0, wave.shape[1], 1024), wave.shape[1]]):
        sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[:, begin:end]), format="fltp", layout=layout)
        sound.sample_rate, sound.time_base = rate_hz, Fraction(1, rate_hz)
        sound.pts = first + begin + round(start_sec * rate_hz)
        for frame in shaped.resample(sound):
            yield stretch[0] + begin / rate_hz, "audio", frame
    for frame in shaped.resample(None):
        yield stretch[1], "audio", frame


def set_edit_lists(path: Path, edits: dict[str, list[tuple[float, float]]]) -> Path:
    """Rewrite the edit lists of an mp4 whose index is at its end.

    Args:
        edits: for "vide" and "soun", (length in seconds, time in the track in seconds or -1 for nothing) of each stretch shown.
    """
    written = b""
    for kind, body in _boxes(path.read_bytes()):
        if kind == b"moov":
            scale = struct.unpack(">I", dict(_boxes(body))[b"mvhd"][12:16])[0]
            body = b"".join(_box(name, _with_edits(part, edits, scale) if name == b"trak" else part) for name, part in _boxes(body))
        written += _box(kind, body)
    path.write_bytes(written)
    return path


def _with_edits(track: bytes, edits: dict[str, list[tuple[float, float]]], scale: int) -> bytes:
    media = dict(_boxes(dict(_boxes(track))[b"mdia"]))
    handler, own_scale = media[b"hdlr"][8:12].decode(), struct.unpack(">I", media[b"mdhd"][12:16])[0]
    if handler not in edits:
        return track
    rows = b"".join(struct.pack(">IiHH", round(length * scale), -1 if begin < 0 else round(begin * own_scale), 1, 0)
                    for length, begin in edits[handler])
    listed = _box(b"edts", _box(b"elst", struct.pack(">II", 0, len(edits[handler])) + rows))
    parts = [(name, part) for name, part in _boxes(track) if name != b"edts"]
    return b"".join(_box(name, part) + (listed if name == b"tkhd" else b"") for name, part in parts)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place < len(data):
        size, kind = struct.unpack(">I4s", data[place:place + 8])
        yield kind, data[place + 8:place + size]
        place += size


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body
