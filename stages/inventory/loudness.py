"""Loudness as ITU-R BS.1770-4 measures it: K-weighting, blocks of 400 ms, two gates.

The standard gives the two filters at 48 kHz; for other rates they are made anew from the analogue filters behind them (centre, gain and
quality such that 48 kHz gives the standard's own coefficients).
"""

import math

import numpy as np
import scipy.signal

STEP_SEC = 0.1
"""Blocks of 400 ms overlap by three quarters."""
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
MIN_RATE_HZ = 4000
"""Below it the shelf lies beyond what the rate can hold."""
SURROUND = frozenset(("SL", "SR", "BL", "BR", "BC"))
"""FFmpeg's names of channels beside and behind the listener, which weigh 1.41; the low-frequency channel weighs nothing."""


class LoudnessMeter:
    """Takes a sound in pieces; keeps one number for each tenth of a second."""

    def __init__(self, rate_hz: int, channel_names: tuple[str, ...]) -> None:
        self.num_channels = len(channel_names)
        self._step = rate_hz * STEP_SEC
        weights = [0.0 if name.startswith("LFE") else 1.41 if name in SURROUND else 1.0 for name in channel_names]
        self._weights = np.array(weights)
        self._filter = k_weighting(rate_hz)
        self._state = np.zeros((len(self._filter), self.num_channels, 2))
        self._waiting: list[np.ndarray] = []
        self._num_waiting = 0
        self._steps: list[float] = []
        self._taken = 0

    def add(self, samples: np.ndarray) -> None:
        """Take a piece: float [channels, n], full scale 1.0."""
        if self._step < MIN_RATE_HZ * STEP_SEC:
            return
        filtered, self._state = scipy.signal.sosfilt(self._filter, samples, axis=1, zi=self._state)
        self._waiting.append(self._weights @ np.square(filtered))
        self._num_waiting += samples.shape[1]
        if self._num_waiting >= 8 * self._step:
            self._take()

    def integrated(self) -> float | None:
        """Loudness of the whole in LUFS; None where no block passes the absolute gate, and for rates that the filters do not know."""
        self._take()
        steps = np.array(self._steps)
        if len(steps) < 4:
            return None
        blocks = np.convolve(steps, np.ones(4), "valid") / 4
        loud = blocks[_lufs(blocks) > ABSOLUTE_GATE_LUFS]
        if not len(loud):
            return None
        gated = loud[_lufs(loud) > _lufs(loud.mean()) + RELATIVE_GATE_LU]
        return float(_lufs(gated.mean()))

    def _take(self) -> None:
        """Mean power of every step of 100 ms that is whole."""
        power = np.concatenate(self._waiting) if self._waiting else np.zeros(0)
        begin = 0
        while True:
            # At 11,025 Hz a step is no whole number of samples: places are rounded, they do not drift.
            length = round((len(self._steps) + 1) * self._step) - round(len(self._steps) * self._step)
            if begin + length > len(power):
                break
            self._steps.append(float(power[begin:begin + length].mean()))
            begin += length
        self._waiting, self._num_waiting = [power[begin:]], len(power) - begin


def k_weighting(rate_hz: int) -> np.ndarray:
    """Second-order sections [2, 6] of the standard's pre-filter (a shelf, for the head) and its high-pass.

    Source: ITU-R BS.1770-4, Annex 1; the analogue parameters are those that reproduce its tables 1 and 2 at 48 kHz.
    """
    gain, centre_hz, quality = 3.999843853973347, 1681.974450955533, 0.7071752369554196
    k = math.tan(math.pi * centre_hz / rate_hz)
    high, mid = 10 ** (gain / 20), 10 ** (gain / 20 * 0.4996667741545416)
    a0 = 1 + k / quality + k * k
    shelf = [(high + mid * k / quality + k * k) / a0, 2 * (k * k - high) / a0, (high - mid * k / quality + k * k) / a0,
             1.0, 2 * (k * k - 1) / a0, (1 - k / quality + k * k) / a0]
    centre_hz, quality = 38.13547087602444, 0.5003270373238773
    k = math.tan(math.pi * centre_hz / rate_hz)
    a0 = 1 + k / quality + k * k
    high_pass = [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / a0, (1 - k / quality + k * k) / a0]
    return np.array([shelf, high_pass])


def _lufs(power: np.ndarray) -> np.ndarray:
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-30))
