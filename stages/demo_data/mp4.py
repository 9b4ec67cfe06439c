"""One mp4 with H.264 and AAC: the same bytes each time, sound and picture in step in every reader."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags

AAC_FRAME = 1024
AUDIO_BITS_PER_SEC = 128_000
CRF = "14"


def write_mp4(path: Path, frames: np.ndarray, waveform: np.ndarray, *, fps: int, sample_rate: int) -> None:
    """Write frames and sound.

    An AAC encoder delays its signal by 1024 samples. Most files undo that by an edit list, which some readers ignore; here
    the sound is fed from its 1025th sample on, so that the delay itself fills the gap and no edit list is needed.
    The price is a silence of 1024 samples at the begin. For the same reason the video has no B-frames.

    Args:
        path: of any name; the container is mp4.
        frames: uint8 [F, H, W, 3], RGB in [0, 255], even H and W.
        waveform: float32 [S], mono, in [-1, 1].
        fps: frames per second.
        sample_rate: of the waveform, Hz.
    """
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact", "use_editlist": "0"}) as container:
        video = container.add_stream("libx264", rate=fps, options={"crf": CRF, "preset": "veryfast", "bf": "0"})
        video.height, video.width = frames.shape[1:3]
        video.pix_fmt = "yuv420p"
        video.thread_count = 1
        audio = container.add_stream("aac", rate=sample_rate, layout="mono", options={"b": str(AUDIO_BITS_PER_SEC)})
        for stream in (video, audio):
            stream.codec_context.flags |= Flags.bitexact
        for i, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, fps)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for begin in range(AAC_FRAME, len(waveform), AAC_FRAME):
            piece = waveform[begin:begin + AAC_FRAME]
            sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece[None], dtype=np.float32), format="fltp", layout="mono")
            sound.pts, sound.sample_rate, sound.time_base = begin, sample_rate, Fraction(1, sample_rate)
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
