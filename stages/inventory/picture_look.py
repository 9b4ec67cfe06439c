"""What the pictures of a file are like, from a small grey copy of a few moments a second."""

from collections import deque
from collections.abc import Iterable

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from stages.inventory.fingerprint import PICTURE_HZ, SIDE, picture_hash
from stages.inventory.streams import rotation_of

LOOKS_HZ = 2 * PICTURE_HZ
BLURRED = 4
"""Looks whose mean is hashed: half a second, the moment of the hash in its middle."""
BLACK_LEVEL = 26
"""Of 255; a tenth, as FFmpeg's blackdetect has it."""
BLACK_SHARE = 0.98
"""Of a picture's area that is no lighter, in a black picture."""


class PictureLook:
    """Takes the frames of a file one by one; keeps a hash a moment and a few numbers."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._shown: av.VideoFrame | None = None
        self._num_looks = 0
        self._latest: deque[np.ndarray] = deque(maxlen=BLURRED)
        self._hashes: list[tuple[int, int]] = []
        self._black = 0
        self._first: np.ndarray | None = None
        self.change = 0.0
        """Largest change of a spot of the small picture since the first look, 0 to 255."""

    def add(self, frame: av.VideoFrame, time_sec: float) -> None:
        """Take the next frame, shown from `time_sec` on (the first: 0)."""
        self._until(time_sec)
        self._shown = frame

    def finish(self, end_sec: float) -> None:
        """The last frame is shown until `end_sec`."""
        self._until(end_sec)
        self._shown = None
        if self._num_looks % 2:
            self._hash(list(self._latest)[-BLURRED + 1:])

    @property
    def hashes(self) -> bytes:
        """Pairs of uint64, little-endian: fingerprint.picture_hash each 1 / PICTURE_HZ s."""
        return np.array(self._hashes, "<u8").tobytes()

    @property
    def black_share(self) -> float:
        """Share of the looks whose picture is black."""
        return self._black / max(self._num_looks, 1)

    def _until(self, time_sec: float) -> None:
        """Look at the frame that is shown, for all looks due before `time_sec`."""
        due = int(np.ceil((time_sec - 1e-6) * LOOKS_HZ)) - self._num_looks
        if self._shown is None or due <= 0:
            return
        small = self._reformatter.reformat(self._shown, width=SIDE, height=SIDE, format="gray", interpolation="AREA", threads=1)
        gray = np.rot90(small.to_ndarray(), rotation_of(self._shown) // 90).astype(np.int16)
        self._first = gray if self._first is None else self._first
        self.change = max(self.change, float(np.abs(gray - self._first).max()))
        self._black += due * bool((gray <= BLACK_LEVEL).mean() >= BLACK_SHARE)
        for _ in range(due):
            self._latest.append(gray)
            self._num_looks += 1
            if self._num_looks % 2 == 0:
                self._hash(self._latest)

    def _hash(self, looks: Iterable[np.ndarray]) -> None:
        self._hashes.append(picture_hash(np.mean(list(looks), axis=0)))
