"""The right frame at every moment, from both readers: pytest tests/stages/decode/test_video.py"""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from stages.decode.video import READERS, TOLERANCE_SEC, DecordReader, PyavReader, frames_at

MakeClip = Callable[..., Path]
REAL = [
    "dog/AVSBench__p04SYXuBSQ.mp4",                               # 7.3 fps: frames are shown more than once
    "drums/SpecVQGAN__video_02542.mp4",                           # 29.97 fps
    "crowd/Video-LLaMA__applausing.mp4",                          # fragmented, first frame at 0.067 s
    "kitchen_paper/decord__flipping_a_pancake.mkv",               # times in milliseconds
    "sports/video_features__v_GGSY1Qvo990.mp4",                   # 19.62 fps
    "other/torchcodec__nasa_13013.mp4",                           # two video streams
    "vehicle/Video-to-Audio-and-Piano__1uCzQCdCC1U_000170.mp4",   # an edit list hides 27 frames
]
PYAV_ONLY = REAL[-2:]


def pictures(reader: type[DecordReader] | type[PyavReader], path: Path, start_sec: float, fps: int, count: int) -> list[np.ndarray]:
    with reader(path) as video:
        return list(video.pictures(start_sec, fps, count))


def reference(path: Path, moments_sec: np.ndarray) -> list[np.ndarray]:
    """Every frame decoded in order, then picked by time without any of the stage's code but the tolerance."""
    with av.open(str(path)) as container:
        video = container.streams.best("video")
        shown = [(float(frame.pts * frame.time_base), frame.to_ndarray(format="rgb24")) for frame in container.decode(video)]
    zero = shown[0][0]
    return [[picture for time, picture in shown if time - zero <= moment + TOLERANCE_SEC][-1] for moment in moments_sec]


def test_frame_of_a_moment_is_the_last_whose_time_has_come() -> None:
    times = np.array([0.0, 0.015, 0.135, 0.2, 0.3])
    assert frames_at(times, np.arange(5) / 10).tolist() == [0, 1, 3, 4, 4]


@pytest.mark.parametrize("name", REAL)
def test_real_clip_equals_a_sequential_reference(name: str, real_clips: Path) -> None:
    path, moments = real_clips / name, np.arange(25) / 10
    expected = reference(path, moments)
    for reader in (PyavReader, *(() if name in PYAV_ONLY else (DecordReader,))):
        if reader is DecordReader:
            pytest.importorskip("decord")
        found = pictures(reader, path, 0.0, 10, 25)
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True)), reader.__name__


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov"])
def test_readers_give_the_same_pictures(ending: str, tmp_path: Path, make_clip: MakeClip) -> None:
    pytest.importorskip("decord")
    path = make_clip(tmp_path / f"clip{ending}", 2.0, fps=30)
    for fps in (4, 10, 30, 50):
        pairs = zip(*(pictures(reader, path, 0.0, fps, 2 * fps) for reader in READERS.values()), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs), fps


def test_flash_of_an_irregular_clip_comes_at_its_time(tmp_path: Path, make_clip: MakeClip) -> None:
    ticks = [0, 15, 30, 45, 60, 75, 90, 105, 225, 345, 465, 585, 705, 825, 900, 1000, 1115, 1205, 1300, 1400, 1500, 1600]
    path = make_clip(tmp_path / "irregular.mp4", frame_ticks=ticks, event_sec=1.0)
    bright = [picture.mean() > 200 for picture in pictures(PyavReader, path, 0.0, 10, 16)]
    # White are the frames at 1.000 and 1.115 s; the latter is still shown at 1.2 s, as the next one comes at 1.205 s.
    assert np.flatnonzero(bright).tolist() == [10, 11, 12]


def test_seeking_into_a_clip_gives_what_reading_through_gives(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "long.mp4", 14.0, event_sec=11.0)
    whole = pictures(PyavReader, path, 0.0, 10, 140)
    for start in (3, 70, 105, 125):
        part = pictures(PyavReader, path, start / 10, 10, 15)
        assert all(np.array_equal(a, b) for a, b in zip(part, whole[start:start + 15], strict=True)), start


def test_rotated_clip_stands_upright(bad_clips: Path) -> None:
    path = bad_clips / "portrait_rotated.mp4"
    picture = pictures(PyavReader, path, 0.0, 10, 1)[0]
    assert picture.shape == (320, 180, 3)
    decord = pytest.importorskip("decord")  # which applies rotation on its own
    turned = decord.VideoReader(str(path), num_threads=1).next().asnumpy()
    assert np.abs(picture.astype(int) - turned).mean() < 2
