"""A window: `clip.num_frames` frames of a clip and the sound of the same time; an index range, never a copy on disk."""

import numpy as np

from pipeline.params import AudioParams, ClipParams


def window_samples(clip: ClipParams, audio: AudioParams) -> int:
    """Audio samples of a window (paper: 1.6 s at 16 kHz = 25,600)."""
    return round(clip.window_sec * audio.sample_rate_hz)


def mel_columns(clip: ClipParams, audio: AudioParams) -> int:
    """Columns of a window's mel (25,600 / 256 = 100)."""
    return window_samples(clip, audio) // audio.hop_length


def window_starts(num_clip_frames: int, clip: ClipParams) -> list[int]:
    """First frame of every window of a clip with `num_clip_frames` frames."""
    return list(range(0, num_clip_frames - clip.num_frames + 1, clip.window_stride))


def window_key(clip_id: str, start_frame: int) -> str:
    """Name of a window: "9f3a..._000000-0032"."""
    return f"{clip_id}-{start_frame:04d}"


def first_sample(start_frame: int, clip: ClipParams, audio: AudioParams) -> int:
    """Place of a window's first sample in the clip's waveform."""
    return round(start_frame / clip.fps * audio.sample_rate_hz)


def window_waveform(waveform: np.ndarray, start_frame: int, clip: ClipParams, audio: AudioParams) -> np.ndarray:
    """The waveform of a window, [window_samples]; zeros after the end of a clip that is a rounding short."""
    first = first_sample(start_frame, clip, audio)
    piece = waveform[first:first + window_samples(clip, audio)]
    return np.pad(piece, (0, window_samples(clip, audio) - len(piece)))
