"""What the pictures of a file are like, from a small grey copy of a few moments a second."""

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from stages.inventory.fingerprint import PICTURE_HZ, SIDE, picture_hash
from stages.inventory.streams import rotation_of

BLACK_LEVEL = 26
"""Of 255; a tenth, as FFmpeg's blackdetect has it."""
BLACK_SHARE = 0.98
"""Of a picture's area that is no lighter, in a black picture."""


class PictureLook:
    """Takes the frames of a file one by one; keeps a hash a moment and a few numbers."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._shown: av.VideoFrame | None = None
        self._moments = 0
        self._hashes: list[int] = []
        self._black = 0
        self._first: np.ndarray | None = None
        self.change = 0.0
        """Largest change of a spot of the small picture since the first moment, 0 to 255."""

    def add(self, frame: av.VideoFrame, time_sec: float) -> None:
        """Take the next frame, shown from `time_sec` on (the first: 0)."""
        self._until(time_sec)
        self._shown = frame

    def finish(self, end_sec: float) -> None:
        """The last frame is shown until `end_sec`."""
        self._until(end_sec)
        self._shown = None

    @property
    def hashes(self) -> bytes:
        """uint64, little-endian: one each 1 / PICTURE_HZ s, of the picture shown then."""
        return np.array(self._hashes, "<u8").tobytes()

    @property
    def black_share(self) -> float:
        """Share of the moments whose picture is black."""
        return self._black / max(self._moments, 1)

    def _until(self, time_sec: float) -> None:
        """Look at the frame that is shown, for all moments before `time_sec`."""
        due = int(np.ceil((time_sec - 1e-6) * PICTURE_HZ)) - self._moments
        if self._shown is None or due <= 0:
            return
        small = self._reformatter.reformat(self._shown, width=SIDE, height=SIDE, format="gray", interpolation="AREA", threads=1)
        gray = np.rot90(small.to_ndarray(), rotation_of(self._shown) // 90)
        if self._first is None:
            self._first = gray.astype(np.int16)
        self.change = max(self.change, float(np.abs(gray - self._first).max()))
        self._moments += due
        self._black += due * bool((gray <= BLACK_LEVEL).mean() >= BLACK_SHARE)
        self._hashes += [picture_hash(gray)] * due
