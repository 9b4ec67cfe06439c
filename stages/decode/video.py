"""The frames of a clip by time, through decord or PyAV: the same pictures from both.

A reader opens one file and has

    zero_sec                                   timestamp of the first shown frame, the zero of a clip's times
    pictures(start_sec, fps, num_frames)       yields `num_frames` pictures, uint8 [height, width, 3] RGB in [0, 255], upright, at the
                                               file's own size; one that is shown twice is the same object twice

Picture k is the last frame whose time has come at `start_sec + k / fps`, counted from `zero_sec`.
"""

import math
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

from stages.inventory.streams import picture_stream, repeats_picture, rotation_of, tick_sec

TOLERANCE_SEC = 0.00047
"""A frame due this much later counts as shown: half a tick of a time base of milliseconds, the coarsest usual one, and no whole number
of ticks of the NTSC ones, where a frame exactly on the edge would be left to float rounding."""
SEEK_BACK_SEC = (1.0, 5.0, 25.0)
"""A seek aims this much earlier, the next one where that lands too late (MPEG streams land on the key frame AFTER the time asked for)."""
REFRESH_SEC = 10.0
"""By then a stream without key frames, whose pictures are renewed stripe by stripe (intra refresh), is whole again."""
LOOK_AHEAD_PACKETS = 32
"""Twice as many as H.264 may put between a frame's place in the file and its place on the screen."""


class PyavReader(AbstractContextManager["PyavReader"]):
    """For every file; frames that an edit list hides are left out, and rotation is applied.

    Of H.264, which says of every frame whether others are decoded from it, those that are neither shown at one of the moments
    nor needed by others are not decoded: a sixth of the time at 10 of 25 to 30 frames a second, the pictures are the same.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rgb = VideoReformatter()  # one for all frames: each has to find out anew how to convert
        self._may_skip = True
        self._moments: tuple[float, int, int] | None = None  # start_sec, fps, num_frames; None: every frame is wanted
        self._open()
        self.zero_sec = self._time_sec(self._first)

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def pictures(self, start_sec: float, fps: int, num_frames: int) -> Iterator[np.ndarray]:
        """See the head of this file; once for each reader."""
        self._moments = start_sec, fps, num_frames
        given, shown, picture = 0, None, np.empty(0)
        for frame in chain(self._from(start_sec), [None]):
            while shown is not None and given < num_frames:
                moment_sec = start_sec + given / fps + TOLERANCE_SEC
                # The last frame stays until the end; that the clip ends before it does was measured by the inventory.
                if frame is not None and moment_sec >= self._time_sec(frame) - self.zero_sec:
                    break
                if self._has_lost_a_frame(shown, moment_sec):
                    yield from self._without_skipping(start_sec + given / fps, fps, num_frames - given)
                    return
                picture = picture if picture.size else self._upright(shown)
                yield picture
                given += 1
            if given == num_frames:
                return
            shown, picture = frame, np.empty(0)
        raise AssertionError(f"no frame from {start_sec} s on")

    def _open(self) -> None:
        # A title in an old encoding is no reason to refuse a file.
        self._container = av.open(str(self._path), metadata_errors="replace")
        self._video = picture_stream(self._container)
        self._codec = self._video.codec_context
        self._codec.thread_count = 1
        self._tick_sec = tick_sec(self._video)
        self._may_skip = self._may_skip and self._codec.name == "h264"
        moments, self._moments = self._moments, None
        self._frames = self._decoded()
        first = next(self._frames, None)
        assert first is not None, "no frame in the file"
        self._first, self._moments = first, moments

    def _time_sec(self, frame: av.VideoFrame) -> float:
        assert frame.pts is not None
        return frame.pts * self._tick_sec

    def _upright(self, frame: av.VideoFrame) -> np.ndarray:
        # By default it starts threads for each frame, which take ten times as long as the conversion.
        picture = self._rgb.reformat(frame, format="rgb24", threads=1).to_ndarray()
        return np.rot90(picture, rotation_of(frame) // 90)

    def _from(self, start_sec: float) -> Iterator[av.VideoFrame]:
        """Frames from `start_sec` or somewhat earlier on."""
        for back_sec in SEEK_BACK_SEC:
            if start_sec > back_sec:
                self._container.seek(int((self.zero_sec + start_sec - back_sec) / self._tick_sec), stream=self._video)
                self._frames = self._decoded()
                first = next(self._frames, None)
                if first is not None and self._is_entry(first, start_sec):
                    return chain([first], self._frames)
        if start_sec > SEEK_BACK_SEC[0]:
            self._container.close()
            self._open()
        return chain([self._first], self._frames)

    def _is_entry(self, first: av.VideoFrame, start_sec: float) -> bool:
        """Whether decoding can begin with this frame to be right at `start_sec`."""
        ahead_sec = start_sec + TOLERANCE_SEC - (self._time_sec(first) - self.zero_sec)
        is_predicted = first.pict_type in (PictureType.P, PictureType.B)
        return ahead_sec >= (REFRESH_SEC if is_predicted else 0)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        for packet, is_needed in self._packets():
            if self._may_skip:
                self._codec.skip_frame = "DEFAULT" if is_needed else "NONREF"
            for frame in packet.decode():
                assert isinstance(frame, av.VideoFrame)
                if frame.pts is not None:
                    yield frame

    def _packets(self) -> Iterator[tuple[av.Packet, bool]]:
        """Packets in the order of the file, each with whether its frame is shown at one of the moments."""
        self._times: list[int] = []
        waiting: deque[av.Packet] = deque()
        for packet in self._container.demux(self._video):
            if repeats_picture(packet):
                continue
            waiting.append(packet)
            if packet.pts is not None and not packet.is_discard:
                insort(self._times, packet.pts)
            if len(waiting) > LOOK_AHEAD_PACKETS:
                yield waiting[0], self._is_shown(waiting.popleft().pts)
        while waiting:
            yield waiting[0], self._is_shown(waiting.popleft().pts)

    def _is_shown(self, pts: int | None) -> bool:
        """Whether the frame is the last one before one of the moments; also true where that is not known yet."""
        if pts is None or self._moments is None or (following := self._following_sec(pts)) is None:
            return True
        start_sec, fps, num_frames = self._moments
        # A millisecond to either side, so that no rounding can lose a frame.
        begin = pts * self._tick_sec - self.zero_sec - start_sec - 0.001
        end = following - start_sec + 0.001
        moment = max(math.ceil(begin * fps), 0)
        return moment < num_frames and moment / fps <= end

    def _following_sec(self, pts: int) -> float | None:
        """Time of the frame after this one, as far as packets have been read."""
        place = bisect_right(self._times, pts)
        return None if place == len(self._times) else self._times[place] * self._tick_sec - self.zero_sec

    def _has_lost_a_frame(self, shown: av.VideoFrame, moment_sec: float) -> bool:
        """Whether by the packets another frame should be shown: some packets give none, and what was skipped before it was needed."""
        assert shown.pts is not None
        following = self._following_sec(shown.pts)
        return self._may_skip and following is not None and following <= moment_sec

    def _without_skipping(self, start_sec: float, fps: int, num_frames: int) -> Iterator[np.ndarray]:
        self._may_skip = False
        self._container.close()
        self._open()
        yield from self.pictures(start_sec, fps, num_frames)


class DecordReader(AbstractContextManager["DecordReader"]):
    """For files in which decord and PyAV agree; reads from the first frame on, as decord is wrong after a seek."""

    def __init__(self, path: Path) -> None:
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        self._reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
        times_sec = self._reader.get_frame_timestamp(np.arange(len(self._reader)))[:, 0].astype(np.float64)
        self._times_sec = times_sec - times_sec[0]
        self._key_frames: list[int] = sorted(self._reader.get_key_indices())
        self._next = 0
        with PyavReader(path) as whole:  # decord's own times begin at 0 whatever the file says
            self.zero_sec = whole.zero_sec

    def __exit__(self, *_: object) -> None:
        del self._reader

    def pictures(self, start_sec: float, fps: int, num_frames: int) -> Iterator[np.ndarray]:
        """See the head of this file; once for each reader."""
        assert start_sec == 0, start_sec
        picture = np.empty(0)
        for index in frames_at(self._times_sec, np.arange(num_frames) / fps):
            if index >= self._next:
                self._advance(int(index))
                picture = self._reader.next().asnumpy()
                self._next += 1
            yield picture

    def _advance(self, index: int) -> None:
        """To frame `index` without a seek.

        `get_batch` with gaps seeks for each of them, and `skip_frames` where it passes a key frame: there both return the wrong frame
        without an error if the pictures before the key frame are shown after it (open GOP). So key frames are stepped over singly.
        """
        while self._next < index:
            place = bisect_right(self._key_frames, self._next)
            key_frame = self._key_frames[place] if place < len(self._key_frames) else index + 1
            if key_frame > index:
                self._reader.skip_frames(index - self._next)
                self._next = index
            elif key_frame - self._next > 1:
                self._reader.skip_frames(key_frame - 1 - self._next)
                self._next = key_frame - 1
            else:
                self._reader.next()
                self._next = key_frame


READERS: dict[str, type[DecordReader] | type[PyavReader]] = {"decord": DecordReader, "pyav": PyavReader}


def frames_at(times_sec: np.ndarray, moments_sec: np.ndarray) -> np.ndarray:
    """Index of the frame shown at each moment: the last one whose time has come.

    Args:
        times_sec: ascending times of the frames.
        moments_sec: moments asked for; before the first frame, it is the first.
    """
    return np.maximum(np.searchsorted(times_sec, moments_sec + TOLERANCE_SEC, side="right") - 1, 0)
