"""A few bits a moment by which the same recording is known again, encoded anew, smaller, darker or cut (near_duplicates.py).

Picture: twice 63 bits, `PICTURE_HZ` times a second: which of the lowest frequencies of a 32 x 32 grey picture are clearly positive, and
which clearly negative (a perceptual hash that leaves out what a codec's noise decides). The picture is the mean of half a second, so
that a copy that is counted from another moment shows almost the same. Sound: 32 bits, `SOUND_HZ` times a second: whether the
difference between neighbouring bands of 300 to 3400 Hz grew or fell (Haitsma and Kalker, A Highly Robust Audio Fingerprinting System,
ISMIR 2002). A moment that tells nothing is 0: a flat picture, silence.
"""

import numpy as np
import scipy.fft

PICTURE_HZ = 4
SOUND_HZ = 8
SIDE = 32
"""Of the grey picture."""
CLEAR = 4.0
"""A frequency's part in the picture (grey levels of 255, times 32 pixels, as an orthonormal transform has it) that noise does not reach."""
RATE_HZ = 8000
"""Of the sound that is looked at."""
WINDOW = 4096
"""Samples: half a second, so that another start of the counting changes little."""
SILENCE = 1e-8
"""Power of a window, full scale 1: -80 dBFS."""
_EDGES = np.searchsorted(np.fft.rfftfreq(WINDOW, 1 / RATE_HZ), np.geomspace(300, 3400, 34))
"""First frequency of each of the 33 bands, and the first one after them."""
_HOP = RATE_HZ // SOUND_HZ


def picture_hash(gray: np.ndarray) -> tuple[int, int]:
    """The hash of one moment: bits of the frequencies that are clearly positive, and clearly negative; (0, 0) for a flat picture.

    Args:
        gray: [32, 32], 0 to 255.
    """
    low = scipy.fft.dctn(gray.astype(np.float64), norm="ortho")[:8, :8].ravel()
    low[0] = 0.0  # the brightness
    positive, negative = np.packbits(np.stack([low > CLEAR, low < -CLEAR]), axis=1).view(">u8")[:, 0].tolist()
    return positive, negative


class SoundWords:
    """The words of a sound that comes in pieces."""

    def __init__(self) -> None:
        self._rest = np.zeros(WINDOW // 2, np.float32)  # so that the first window lies around the first sample
        self._last: np.ndarray | None = None
        self._words: list[np.ndarray] = []

    def add(self, samples: np.ndarray) -> None:
        """Take a piece: float32 [n], full scale 1.0, at RATE_HZ."""
        self._rest = np.concatenate([self._rest, samples])
        if len(self._rest) >= WINDOW + 64 * _HOP:
            self._take((len(self._rest) - WINDOW) // _HOP + 1)

    def finish(self) -> np.ndarray:
        """uint32 [m]: the word of each 1 / SOUND_HZ s, the first at the first sample."""
        moments = -(-(len(self._rest) - WINDOW // 2) // _HOP)
        self._rest = np.concatenate([self._rest, np.zeros(WINDOW, np.float32)])
        self._take(max(moments, 0))
        return np.concatenate(self._words) if self._words else np.zeros(0, np.uint32)

    def _take(self, moments: int) -> None:
        """Use up `moments` hops of what is waiting."""
        if moments == 0:
            return
        windows = np.lib.stride_tricks.sliding_window_view(self._rest, WINDOW)[:moments * _HOP:_HOP]
        spectra = np.abs(np.fft.rfft(windows * np.hanning(WINDOW), axis=1)) ** 2
        # No matrix product: it would start threads, and a worker has one core.
        power = np.add.reduceat(spectra, _EDGES, axis=1)[:, :-1] * (4 / WINDOW**2)
        steps = -np.diff(np.log(power + 1e-9), axis=1)
        before = steps[:1] if self._last is None else self._last
        grew = np.diff(np.concatenate([before, steps]), axis=0) > 0
        words = np.packbits(grew, axis=1).view(">u4")[:, 0].astype(np.uint32)
        words[power.sum(axis=1) < SILENCE] = 0
        self._words.append(words)
        self._last = steps[-1:]
        self._rest = self._rest[moments * _HOP:]
