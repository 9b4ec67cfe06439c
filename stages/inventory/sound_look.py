"""What the sound of a file is like: level, loudness, samples at full scale, fingerprint."""

import av
import numpy as np

from stages.inventory.fingerprint import RATE_HZ, SoundWords
from stages.inventory.loudness import LoudnessMeter

FULL_SCALE = 1 - 2**-15
"""The largest sample of 16 bits."""


class SoundLook:
    """Takes the decoded pieces of a file one by one; their format does not change."""

    def __init__(self, rate_hz: int, channel_names: tuple[str, ...]) -> None:
        self._meter = LoudnessMeter(rate_hz, channel_names)
        self._resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
        self._words = SoundWords()
        self._square_sum = 0.0
        self._samples = 0
        self._full = 0
        self.peak = 0.0
        """Largest sample, full scale 1.0."""

    def add(self, frame: av.AudioFrame, samples: np.ndarray) -> None:
        """Take the next piece.

        Args:
            frame: as decoded; its time is taken off.
            samples: float32 [channels, n] of it.
        """
        magnitude = np.abs(samples)
        self.peak = max(self.peak, float(magnitude.max(initial=0.0)))
        self._full += int((magnitude >= FULL_SCALE).sum())
        self._square_sum += float(np.square(samples, dtype=np.float64).mean(axis=0).sum())
        self._samples += samples.shape[1]
        self._meter.add(samples)
        frame.pts = None  # one after the other, whatever gaps lie between them
        self._resample(frame)

    def finish(self) -> None:
        """There is no more."""
        self._resample(None)

    @property
    def rms(self) -> float:
        """Root of the mean square over samples and channels."""
        return float(np.sqrt(self._square_sum / max(self._samples, 1)))

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

    def _resample(self, frame: av.AudioFrame | None) -> None:
        for piece in self._resampler.resample(frame):
            self._words.add(piece.to_ndarray()[0])
