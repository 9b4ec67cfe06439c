"""What the sound of a file is like: level, loudness, samples at full scale, fingerprint."""

import av
import numpy as np

from stages.inventory.fingerprint import RATE_HZ, SoundWords
from stages.inventory.loudness import LoudnessMeter

FULL_SCALE = 1 - 2**-15
"""The largest sample of 16 bits."""
BATCH = 1 << 15
"""Samples that are worked on together: one by one, a codec's pieces of 20 ms would cost ten times as much."""


class SoundLook:
    """Takes the decoded pieces of a file one by one; their rate and channels do not change."""

    def __init__(self, rate_hz: int, channel_names: tuple[str, ...]) -> None:
        self._rate_hz = rate_hz
        self._meter = LoudnessMeter(rate_hz, channel_names)
        self._resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
        self._words = SoundWords()
        self._waiting: list[np.ndarray] = []
        self._num_waiting = 0
        self._square_sum = 0.0
        self._samples = 0
        self._full = 0
        self.peak = 0.0
        """Largest sample, full scale 1.0."""

    def add(self, samples: np.ndarray) -> None:
        """Take the next piece: float32 [channels, n], one after the other, whatever gaps lie between them."""
        self._waiting.append(samples)
        self._num_waiting += samples.shape[1]
        if self._num_waiting >= BATCH:
            self._take()

    def finish(self) -> None:
        """There is no more."""
        self._take()
        self._resample(None)

    @property
    def rms(self) -> float:
        """Root of the mean square over samples and channels."""
        return float(np.sqrt(self._square_sum / max(self._samples * self._meter.num_channels, 1)))

    @property
    def full_scale_share(self) -> float:
        """Share of the samples at full scale or beyond."""
        return self._full / max(self._samples * self._meter.num_channels, 1)

    @property
    def loudness_lufs(self) -> float | None:
        """Integrated loudness; None where no block is louder than -70 LUFS."""
        return self._meter.integrated()

    def words(self) -> bytes:
        """uint32, little-endian: fingerprint.SoundWords; once, after `finish`."""
        return self._words.finish().astype("<u4").tobytes()

    def _take(self) -> None:
        if not self._waiting:
            return
        samples = np.concatenate(self._waiting, axis=1)
        self._waiting, self._num_waiting = [], 0
        magnitude = np.abs(samples)
        self.peak = max(self.peak, float(magnitude.max(initial=0.0)))
        self._full += int((magnitude >= FULL_SCALE).sum())
        self._square_sum += float(np.square(samples, dtype=np.float64).sum())
        self._samples += samples.shape[1]
        self._meter.add(samples)
        mono = av.AudioFrame.from_ndarray(samples.mean(axis=0, keepdims=True), format="flt", layout="mono")
        mono.sample_rate = self._rate_hz
        self._resample(mono)

    def _resample(self, frame: av.AudioFrame | None) -> None:
        for piece in self._resampler.resample(frame):
            self._words.add(piece.to_ndarray()[0])
