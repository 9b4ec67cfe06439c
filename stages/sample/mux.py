"""Frames and waveform to an mp4 that every player shows and sounds: H.264 (yuv420p) and AAC, the same bytes every time."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pipeline.contracts.outputs import atomic_path

CRF = 12
"""x264's quality; near-transparent, a sample of 1.6 s at 64x64 stays under 100 kB."""
AUDIO_BIT_RATE = 96_000
SMALL_PX, ENLARGEMENT = 64, 4
"""Frames up to SMALL_PX are shown ENLARGEMENT times larger, or players blur or miniaturise them."""


def write_mp4(path: Path, frames: np.ndarray, fps: float, waveform: np.ndarray, sample_rate_hz: int, scale: int = 1) -> None:
    """Write one sounding video; deterministic (one thread, no dates, no version tags).

    Sound and picture both start at 0: the encoder's 1024 samples of priming are cut by the file's edit list, which
    players and decoders honour.

    Args:
        path: written atomically.
        frames: uint8 [F, H, W, 3], RGB, 0 to 255.
        waveform: int16 [S], mono.
        scale: each pixel becomes scale x scale of its kind; an odd side is then padded by its last row or column (H.264 needs even ones).
    """
    assert frames.dtype == np.uint8 and frames.ndim == 4 and waveform.dtype == np.int16 and waveform.ndim == 1
    shown = even_sided(frames.repeat(scale, axis=1).repeat(scale, axis=2))
    with atomic_path(path) as temporary, av.open(str(temporary), "w", format="mp4",
                                                 options={"movflags": "+faststart", "fflags": "+bitexact"}) as container:
        video = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        video.height, video.width, video.pix_fmt = *shown.shape[1:3], "yuv420p"
        video.options = {"crf": str(CRF), "bf": "0"}
        audio = container.add_stream("aac", rate=sample_rate_hz, layout="mono")
        audio.bit_rate = AUDIO_BIT_RATE
        for stream in (video, audio):
            stream.codec_context.flags |= av.codec.context.Flags.bitexact
            stream.codec_context.thread_count = 1
        for number, image in enumerate(shown):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, 1 / video.codec_context.framerate
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in range(0, len(waveform), 1024):
            # The encoder takes planar floats; a last short frame is allowed.
            piece = waveform[None, start : start + 1024].astype(np.float32) / 32768
            sound = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = sample_rate_hz, start, Fraction(1, sample_rate_hz)
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))


def even_sided(frames: np.ndarray) -> np.ndarray:
    """Frames [F, H, W, 3] with H and W even; a last row or column is repeated where needed."""
    return np.pad(frames, ((0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)), mode="edge")


def display_scale(frames: np.ndarray) -> int:
    """How much larger small frames [F, H, W, 3] are shown."""
    return ENLARGEMENT if max(frames.shape[1:3]) <= SMALL_PX else 1
