"""The frames of a clip by time, through decord or PyAV: the same pictures from both.

A reader is a function (path, zero_sec, start_sec, fps, num_frames) that yields `num_frames` pictures, uint8
[height, width, 3] RGB in [0, 255], upright, at the file's own size; one that is shown twice is the same object twice.

    zero_sec   timestamp of the first shown frame in the file
    start_sec  first moment of the clip, counted from there
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np

from stages.inventory.probe import main_streams, rotation_of, tick_sec

TOLERANCE_SEC = 0.00047
"""A frame due this much later counts as shown: half a tick of a time base of milliseconds, the coarsest usual one, and no whole number
of ticks of the NTSC ones, where a frame exactly on the edge would be left to float rounding."""
SEEK_MARGIN_SEC = 1.0
"""A seek aims this much earlier, so that frames without their references are over before the clip begins."""

FrameReader = Callable[[Path, float, float, int, int], Iterator[np.ndarray]]


def first_frame_sec(path: Path) -> float:
    """Timestamp of the first shown frame, the zero of a clip's times."""
    with av.open(str(path)) as container:
        video, _ = main_streams(container)
        video.codec_context.thread_count = 1
        frame = next(container.decode(video))
        assert frame.pts is not None
        return frame.pts * tick_sec(video)


def pyav_frames(path: Path, zero_sec: float, start_sec: float, fps: int, num_frames: int) -> Iterator[np.ndarray]:
    """A `FrameReader` for every file; hidden frames are left out and rotation is applied."""
    given, shown, picture = 0, None, None
    for time_sec, frame in _timed_frames(path, zero_sec, start_sec):
        while shown is not None and given < num_frames and start_sec + given / fps + TOLERANCE_SEC < time_sec:
            picture = upright(shown) if picture is None else picture
            yield picture
            given += 1
        if given == num_frames:
            return
        shown, picture = frame, None
    assert shown is not None, f"no frame of {path} from {start_sec} s on"
    # The last frame stays until the end; that the clip ends before it does was measured by the inventory.
    picture = upright(shown)
    for _ in range(num_frames - given):
        yield picture


def decord_frames(path: Path, zero_sec: float, start_sec: float, fps: int, num_frames: int) -> Iterator[np.ndarray]:
    """A `FrameReader` for files in which decord and PyAV agree, read from the first frame on without a seek."""
    import decord

    assert start_sec == 0, start_sec
    decord.logging.set_level(decord.logging.QUIET)
    reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
    times_sec = reader.get_frame_timestamp(np.arange(len(reader)))[:, 0].astype(np.float64)
    next_index, picture = 0, np.empty(0)
    for index in frames_at(times_sec - times_sec[0], np.arange(num_frames) / fps):
        if index >= next_index:
            if index > next_index:
                reader.skip_frames(int(index - next_index))  # several times faster than get_batch with gaps, which seeks
            picture = reader.next().asnumpy()
            next_index = index + 1
        yield picture


READERS: dict[str, FrameReader] = {"decord": decord_frames, "pyav": pyav_frames}


def frames_at(times_sec: np.ndarray, moments_sec: np.ndarray) -> np.ndarray:
    """Index of the frame shown at each moment: the last one whose time has come.

    Args:
        times_sec: ascending times of the frames.
        moments_sec: moments asked for; before the first frame, it is the first.
    """
    return np.maximum(np.searchsorted(times_sec, moments_sec + TOLERANCE_SEC, side="right") - 1, 0)


def upright(frame: av.VideoFrame) -> np.ndarray:
    """RGB picture of a decoded frame, turned as the file asks for."""
    picture = frame.to_ndarray(format="rgb24")
    return np.rot90(picture, rotation_of(frame) // 90)


def _timed_frames(path: Path, zero_sec: float, start_sec: float) -> Iterator[tuple[float, av.VideoFrame]]:
    """(time, frame) from `start_sec` or somewhat earlier on."""
    if start_sec > SEEK_MARGIN_SEC:
        frames = _decoded(path, zero_sec, start_sec - SEEK_MARGIN_SEC)
        first = next(frames, None)
        # Some containers seek to a later key frame than asked for; then there is only the way from the beginning.
        if first is not None and first[0] <= start_sec + TOLERANCE_SEC:
            yield first
            yield from frames
            return
    yield from _decoded(path, zero_sec, None)


def _decoded(path: Path, zero_sec: float, seek_sec: float | None) -> Iterator[tuple[float, av.VideoFrame]]:
    with av.open(str(path)) as container:
        video, _ = main_streams(container)
        video.codec_context.thread_count = 1
        tick = tick_sec(video)
        if seek_sec is not None:
            container.seek(int((zero_sec + seek_sec) / tick), stream=video)
        for frame in container.decode(video):
            if frame.pts is not None:
                yield frame.pts * tick - zero_sec, frame
