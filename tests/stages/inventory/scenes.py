"""Recordings made from a seed, to be written in any quality (moving blobs, noise that swells and falls), and copies of real ones."""

from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import scipy.signal

RATE_HZ = 16000
LONGEST_SEC = 20.0


def write_scene(
    path: Path, seed: int, seconds: float = 6.0, *, sound_seed: int | None = None, start_sec: float = 0.0,
    size: tuple[int, int] = (128, 96), fps: int = 25, crf: int = 23, bit_rate: int = 96000,
    gain: float = 1.0, lift: float = 0.0, still: bool = False,
) -> Path:
    """Write a stretch of the recording `seed`.

    Args:
        path: the ending chooses the container; folders are made.
        seed: which recording.
        seconds: length of the stretch.
        sound_seed: take the sound of another recording.
        start_sec: where the stretch begins in the recording.
        size: (width, height), even.
        fps: frames a second.
        crf: quality of the picture, 0 (best) to 51.
        bit_rate: of the sound.
        gain: of the picture's brightness.
        lift: added to the brightness, of 255.
        still: nothing moves.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        audio = container.add_stream("aac", rate=RATE_HZ, layout="mono")
        audio.bit_rate = bit_rate
        for i in range(round(seconds * fps)):
            gray = np.clip(picture(seed, 0.0 if still else start_sec + i / fps, size) * gain + lift, 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(np.repeat(gray[..., None], 3, axis=2), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, fps)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        wave = sound(seed if sound_seed is None else sound_seed)[round(start_sec * RATE_HZ):round((start_sec + seconds) * RATE_HZ)]
        for begin in range(0, len(wave), 1024):
            piece = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[None, begin:begin + 1024]), format="fltp", layout="mono")
            piece.sample_rate, piece.time_base, piece.pts = RATE_HZ, Fraction(1, RATE_HZ), begin
            container.mux(audio.encode(piece))
        container.mux(audio.encode(None))
    return path


def picture(seed: int, time_sec: float, size: tuple[int, int]) -> np.ndarray:
    """float [h, w], 0 to 255: one background for all seeds, before it blobs on paths of their own."""
    x, y = np.meshgrid((np.arange(size[0]) + 0.5) / size[0], (np.arange(size[1]) + 0.5) / size[1])
    gray = 90 + 50 * np.sin(7 * x) * np.cos(5 * y)
    rng = np.random.default_rng(seed)
    for _ in range(4):
        speed, phase = rng.uniform(0.5, 2.5, 2), rng.uniform(0, 2 * np.pi, 2)
        middle = 0.5 + 0.35 * np.sin(speed * time_sec + phase)
        gray = gray + rng.choice([-80, 80]) * np.exp(-((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / 0.02)
    return gray


@lru_cache
def sound(seed: int) -> np.ndarray:
    """float32 [LONGEST_SEC * RATE_HZ]: noise in moving bands."""
    rng = np.random.default_rng([seed, 1])
    noise = rng.standard_normal(round(LONGEST_SEC * RATE_HZ))
    moments = np.arange(len(noise)) / RATE_HZ
    wave = np.zeros(len(noise))
    for low_hz in (200, 500, 1100, 2000):
        band = scipy.signal.sosfilt(scipy.signal.butter(2, (low_hz, 1.8 * low_hz), "band", fs=RATE_HZ, output="sos"), noise)
        wave += band * (1 + np.sin(rng.uniform(2, 9) * moments + rng.uniform(0, 6)))
    return (0.2 * wave / np.abs(wave).max()).astype(np.float32)


def write_copy(source: Path, path: Path, *, start_sec: float = 0.0, width_px: int = 320, crf: int = 30, bit_rate: int = 64000) -> Path:
    """Encode a video anew: smaller, from `start_sec` on, its sound as one channel."""
    with av.open(str(source)) as original, av.open(str(path), "w") as container:
        shown, heard = original.streams.video[0], original.streams.audio[0]
        height = round(shown.height * width_px / shown.width / 2) * 2
        video = container.add_stream("libx264", rate=30, options={"crf": str(crf), "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = width_px, height, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        audio = container.add_stream("aac", rate=44100, layout="mono")
        audio.bit_rate = bit_rate
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=44100, frame_size=1024)
        zero: float | None = None
        last = -1
        for frame in original.decode(shown, heard):
            if isinstance(frame, av.VideoFrame):
                zero = frame.time if zero is None else zero
                moment = round((frame.time - zero - start_sec) * 1000)
                if moment > last:
                    small = frame.reformat(width=width_px, height=height, format="yuv420p")
                    small.pts, small.time_base = moment, Fraction(1, 1000)
                    container.mux(video.encode(small))
                    last = moment
            elif frame.time - (zero or 0.0) >= start_sec:
                frame.pts = None
                for piece in resampler.resample(frame):
                    container.mux(audio.encode(piece))
        for stream in (video, audio):
            container.mux(stream.encode(None))
    return path
