"""Any number of windows in the memory of one: each is generated from the one before, decoded, written and forgotten (paper 4.4)."""

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np

from pipeline.contracts.samples import LosslessWriter
from pipeline.params import AudioParams, ClipParams
from pipeline.seeds import derive_seed
from stages.audio_images import Vocoder
from stages.dit import TrainedDiT
from stages.sample.decoding import Decoder
from stages.sample.mux import Mp4Writer, display_scale
from stages.sample.samplers import Sampling
from stages.sample.tasks import Request, generate

OVERLAP_COLUMNS = 8
"""Columns of the mel that two windows' sounds share: 128 ms at the usual settings."""


def continued_windows(dit: TrainedDiT, decoder: Decoder, first: Request, sampling: Sampling, num_windows: int,
                      on_step: Callable[[], None] = lambda: None) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """Per window, of every sample: frames uint8 [F, H, W, 3] and gray mel image uint8 [n_mels, columns].

    Args:
        first: of the first window: an svg, or a continuation of what is given.
        num_windows: how many.
        on_step: called after every step of the sampler.
    """
    request = first
    for number in range(num_windows):
        audio, video = generate(dit, request, sampling, on_step)
        yield list(decoder.images(audio, video, request.seeds))
        seeds = [derive_seed(seed, "window", number + 1) for seed in first.seeds]
        request = replace(first, task="long", seeds=seeds, audio=audio, video=video)


class ContinuousSound:
    """The sound of window after window without clicks where they meet.

    A vocoder knows nothing of the window before, so each window is heard with the last columns of the one before it, and the two
    versions of those are faded into each other.
    """

    def __init__(self, vocoder: Vocoder) -> None:
        """vocoder: of one window."""
        self.vocoder, self.overlap = vocoder, OVERLAP_COLUMNS * vocoder.audio.hop_length
        self.longer = copy.copy(vocoder)
        self.longer.num_samples = vocoder.num_samples + self.overlap
        self.columns: np.ndarray | None = None
        self.tail = np.zeros(0, np.int16)

    def add(self, gray: np.ndarray) -> np.ndarray:
        """The samples int16 that are final after this window's gray mel image uint8 [n_mels, columns]."""
        if self.columns is None:
            wave = self.vocoder.waveform(gray)
        else:
            wave = self.longer.waveform(np.concatenate([self.columns, gray], axis=1))
            rising = (np.arange(self.overlap) + 0.5) / self.overlap
            faded = self.tail * (1 - rising) + wave[: self.overlap] * rising
            wave = np.concatenate([np.round(faded).astype(np.int16), wave[self.overlap :]])
        self.columns = gray[:, -OVERLAP_COLUMNS:]
        self.tail = wave[len(wave) - self.overlap :]
        return wave[: len(wave) - self.overlap]

    def finish(self) -> np.ndarray:
        """The last samples."""
        return self.tail


class LongWriter:
    """mp4 and, if wanted, lossless sidecar of one sample of many windows; both appear when the block ends without an error."""

    def __init__(self, mp4: Path, lossless: Path | None, num_windows: int, vocoder: Vocoder, clip: ClipParams, audio: AudioParams) -> None:
        self.sound = ContinuousSound(vocoder)
        scale = display_scale(np.empty((1, clip.frame_size_px, clip.frame_size_px, 3), np.uint8))
        self.mp4 = Mp4Writer(mp4, clip.fps, audio.sample_rate_hz, scale)
        self.lossless = None if lossless is None else LosslessWriter(lossless, num_windows * clip.num_frames)

    def __enter__(self) -> "LongWriter":
        with ExitStack() as opening:
            opening.enter_context(self.mp4)
            if self.lossless is not None:
                opening.enter_context(self.lossless)
            self.files = opening.pop_all()
        return self

    def add(self, frames: np.ndarray, gray: np.ndarray) -> None:
        """The next window."""
        self._write(frames, self.sound.add(gray), gray)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self.files:
            if error is not None:
                raise error
            assert self.sound.columns is not None
            size = self.mp4.video.height // self.mp4.scale
            self._write(np.zeros((0, size, size, 3), np.uint8), self.sound.finish(), self.sound.columns[:, :0])

    def _write(self, frames: np.ndarray, waveform: np.ndarray, gray: np.ndarray) -> None:
        self.mp4.add(frames, waveform)
        if self.lossless is not None:
            self.lossless.add(frames, waveform, gray)
