"""Frames and waveform to an mp4 that every player shows and sounds: H.264 (yuv420p) and AAC, the same bytes every time."""

from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import OutputContainer

from pipeline.contracts.outputs import atomic_path

CRF = 12
"""x264's quality; near-transparent, a sample of 1.6 s at 64x64 stays under 100 kB."""
AUDIO_BIT_RATE = 96_000
AAC_SAMPLES = 1024
"""Samples of one piece of sound."""
SMALL_PX, ENLARGEMENT = 64, 4
"""Frames up to SMALL_PX are shown ENLARGEMENT times larger, or players blur or miniaturise them."""


def write_mp4(path: Path, frames: np.ndarray, fps: float, waveform: np.ndarray, sample_rate_hz: int, scale: int = 1) -> None:
    """Write one sounding video; see `Mp4Writer`.

    Args:
        path: written atomically.
        frames: uint8 [F, H, W, 3], RGB, 0 to 255.
        waveform: int16 [S], mono.
    """
    with Mp4Writer(path, fps, sample_rate_hz, scale) as writer:
        writer.add(frames, waveform)


class Mp4Writer:
    """A sounding video, piece by piece, in the memory of a few pieces; deterministic (one thread, no dates, no version tags).

    Sound and picture both start at 0: the encoder's 1024 samples of priming are cut by the file's edit list, which
    players and decoders honour. The file gets its name when the block ends without an error.
    """

    def __init__(self, path: Path, fps: float, sample_rate_hz: int, scale: int = 1) -> None:
        """scale: each pixel becomes scale x scale of its kind; an odd side is then padded by its last row or column (H.264 needs
        even ones)."""
        self.path, self.scale, self.rate = path, scale, sample_rate_hz
        self.num_frames, self.num_samples = 0, 0
        self.waiting = np.zeros(0, np.int16)
        self.fps = Fraction(fps).limit_denominator(1001)

    def __enter__(self) -> "Mp4Writer":
        self.files = ExitStack()
        with ExitStack() as opening:
            temporary = opening.enter_context(atomic_path(self.path))
            self.container: OutputContainer = opening.enter_context(
                av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}))
            self.video = self.container.add_stream("libx264", rate=self.fps)
            self.audio = self.container.add_stream("aac", rate=self.rate, layout="mono")
            self.files = opening.pop_all()
        self.video.pix_fmt, self.video.options = "yuv420p", {"crf": str(CRF), "bf": "0"}
        self.audio.bit_rate = AUDIO_BIT_RATE
        for stream in (self.video, self.audio):
            stream.codec_context.flags |= av.codec.context.Flags.bitexact
            stream.codec_context.thread_count = 1
        return self

    def add(self, frames: np.ndarray, waveform: np.ndarray) -> None:
        """The next frames uint8 [F, H, W, 3] and samples int16 [S]; over the whole video they last equally long."""
        assert frames.dtype == np.uint8 and frames.ndim == 4 and waveform.dtype == np.int16 and waveform.ndim == 1
        self._write_sound(whole=False)
        shown = even_sided(frames.repeat(self.scale, axis=1).repeat(self.scale, axis=2))
        if self.num_frames == 0:
            self.video.height, self.video.width = shown.shape[1:3]
        for image in shown:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = self.num_frames, 1 / self.fps
            self.num_frames += 1
            self.container.mux(self.video.encode(frame))
        self.waiting = np.concatenate([self.waiting, waveform])

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self.files:
            if error is not None:
                raise error
            self.container.mux(self.video.encode(None))
            self._write_sound(whole=True)
            self.container.mux(self.audio.encode(None))

    def _write_sound(self, whole: bool) -> None:
        """What waits, in the encoder's pieces; the last short one is allowed at the end alone."""
        end = len(self.waiting) if whole else len(self.waiting) // AAC_SAMPLES * AAC_SAMPLES
        for start in range(0, end, AAC_SAMPLES):
            # The encoder takes planar floats.
            piece = self.waiting[None, start : start + AAC_SAMPLES].astype(np.float32) / 32768
            sound = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = self.rate, self.num_samples, Fraction(1, self.rate)
            self.num_samples += piece.shape[1]
            self.container.mux(self.audio.encode(sound))
        self.waiting = self.waiting[end:]


def even_sided(frames: np.ndarray) -> np.ndarray:
    """Frames [F, H, W, 3] with H and W even; a last row or column is repeated where needed."""
    return np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")


def display_scale(frames: np.ndarray) -> int:
    """How much larger small frames [F, H, W, 3] are shown."""
    return ENLARGEMENT if max(frames.shape[1:3]) <= SMALL_PX else 1
