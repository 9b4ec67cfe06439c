"""Shared by tests of several stages: a small real video made from a formula, and the folders of shared clips where they are."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch, once imported: two workers on two cores
    # numba's files of machine code are not safe to be written by two processes at once (stages/evaluate/compiled_librosa.py).
    _worker_code = Path(__file__).resolve().parent.parent / ".pytest_cache" / f"numba-{os.environ['PYTEST_XDIST_WORKER']}"
    os.environ.setdefault("NUMBA_CACHE_DIR", str(_worker_code))
SHARED = Path(__file__).resolve().parent.parent.parent / "shared"


def write_clip(
    path: Path, seconds: float = 2.4, fps: int = 25, size: tuple[int, int] = (96, 64), *,
    rate_hz: int = 44100, audio_sec: float | None = None, audio_start_sec: float = 0.0,
    event_sec: float = 1.0, tone_hz: float = 440.0, level: float = 0.05, frame_ticks: Sequence[int] | None = None,
) -> Path:
    """A moving square with a tone; at `event_sec` the picture flashes white for 0.2 s and the sound clicks.

    Args:
        path: the ending chooses the container; folders are made.
        seconds: length of the picture.
        fps: frame rate.
        size: (width, height), even.
        rate_hz: sample rate of the sound.
        audio_sec: where the sound ends; None: with the picture.
        audio_start_sec: where the sound begins; the click stays at `event_sec`.
        event_sec: time of flash and click.
        tone_hz: pitch of the tone under the click; two clips of other pitch are other content.
        level: amplitude of the tone; 0 leaves no click either.
        frame_ticks: times of the frames in 1/1000 s, for a variable rate; None: constant.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    avi = path.suffix == ".avi"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4" if avi else "libx264", rate=fps)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        times = [Fraction(i, fps) for i in range(round(seconds * fps))] if frame_ticks is None else [Fraction(t, 1000) for t in frame_ticks]
        if frame_ticks is not None:
            video.codec_context.time_base = Fraction(1, 1000)
        # mp3 in avi would come 25 ms late, as that container has no room for the encoder's delay.
        audio = container.add_stream("pcm_s16le" if avi else "aac", rate=rate_hz, layout="mono")
        moments = np.arange(round(audio_start_sec * rate_hz), round((audio_sec or seconds) * rate_hz)) / rate_hz
        wave = level * np.sin(2 * np.pi * tone_hz * moments)
        if level:
            wave += 0.6 * np.sin(2 * np.pi * 2000 * moments) * ((moments >= event_sec) & (moments < event_sec + 0.02))
        for time in times:
            picture = np.full((size[1], size[0], 3), 40, np.uint8)
            left = int(float(time) * 30) % (size[0] - 16)
            picture[8:24, left:left + 16] = (200, 80, 30)
            if event_sec <= float(time) + 1e-6 < event_sec + 0.2:
                picture[:] = 255
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.time_base = Fraction(1, 1000) if frame_ticks is not None else Fraction(1, fps)
            frame.pts = round(time / frame.time_base)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for begin in range(0, len(wave), 1024):
            piece = wave[None, begin:begin + 1024].astype(np.float32)
            samples, kind = (np.round(piece * 32767).astype(np.int16), "s16") if avi else (piece, "fltp")
            sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format=kind, layout="mono")
            sound.sample_rate, sound.time_base = rate_hz, Fraction(1, rate_hz)
            sound.pts = begin + round(audio_start_sec * rate_hz)
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the most slow tests first: workers take whole files, and a long one at the end would leave the others idle."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Path]:
    """`write_clip`."""
    return write_clip


@pytest.fixture(scope="session")
def bad_clips() -> Path:
    """The folder of 19 broken or awkward files."""
    return _shared("bad_clips")


@pytest.fixture(scope="session")
def real_clips() -> Path:
    """The folder of 62 real clips."""
    return _shared("real_clips")


def _shared(name: str) -> Path:
    if not (SHARED / name).is_dir():
        pytest.skip(f"no folder ../shared/{name} beside the project")
    return SHARED / name
