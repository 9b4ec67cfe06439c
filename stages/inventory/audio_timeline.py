"""Where decoded pieces of sound lie in time.

Timestamps of real files jitter by up to 20 ms around a sample clock that runs on undisturbed, and some leave a true gap
(lost sound, a late start). Laid by each timestamp, jitter would cut holes; laid end to end, a gap would shift all
that follows. So pieces are laid end to end, and moved only where the timestamps say so for longer than a moment.
"""

import numpy as np

SMOOTHING_SEC = 2.0
"""Length of the running median over the timestamps' deviation."""
TOLERANCE_SEC = 0.010
"""Deviation that is left alone; half of the 20 ms that sound and picture may differ."""


def lay_pieces(times_sec: np.ndarray, sizes: np.ndarray, rate_hz: int) -> np.ndarray:
    """First sample of every decoded piece, on the time axis of the timestamps.

    Args:
        times_sec: float64 [n], timestamp of each piece.
        sizes: int64 [n], samples in each piece.
        rate_hz: sample rate.

    Returns:
        int64 [n], in samples from time 0 of `times_sec`; may be negative.
    """
    if len(sizes) == 0:
        return np.zeros(0, np.int64)
    before = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    deviation = times_sec - before / rate_hz
    if np.ptp(deviation) <= TOLERANCE_SEC:
        return before + round(float(np.median(deviation)) * rate_hz)
    typical_sec = max(float(np.median(sizes)) / rate_hz, 1e-4)
    smooth = _running_median(deviation, max(int(SMOOTHING_SEC / typical_sec), 3))
    shift = np.empty(len(sizes))
    current = smooth[0]
    for i, wanted in enumerate(smooth):
        if abs(wanted - current) > TOLERANCE_SEC:
            current = wanted
        shift[i] = current
    return before + np.round(shift * rate_hz).astype(np.int64)


def _running_median(values: np.ndarray, width: int) -> np.ndarray:
    """Median over `width` neighbours, fewer at the ends."""
    half = width // 2
    # One by one: a two-hour file has 300,000 pieces, all windows at once would not fit in memory.
    return np.array([np.median(values[max(0, i - half):i + half + 1]) for i in range(len(values))])
