"""From a measured source to its clips: the stretch in which sound and picture are both there, cut into pieces."""

from pipeline.contracts.windows import window_starts
from pipeline.params import ClipParams
from stages.inventory.measured import Measured
from stages.inventory.reasons import RejectedFile

ROUNDING_SEC = 0.002
"""A duration that is short of a frame by less than this is whole: time bases of milliseconds round."""


def clips_of(measured: Measured, clip: ClipParams, allow_silent: bool) -> list[tuple[float, float]]:
    """(start, duration) in seconds of every clip of a source.

    Raises:
        RejectedFile: there is none, or the sound is silent and may not be.
    """
    begin, end = common_stretch(measured, clip)
    if measured.silent and not allow_silent:
        raise RejectedFile("silent_audio", f"all {measured.audio_end_sec - measured.audio_start_sec:.2f} s of the sound are zero")
    clips = cut(begin, end, clip)
    if not clips:  # its times, rounded to milliseconds, are a hair too short
        raise RejectedFile("overlap_too_short", f"{end - begin:.4f} s of both; one window is {clip.window_sec:g} s")
    return clips


def common_stretch(measured: Measured, clip: ClipParams) -> tuple[float, float]:
    """(begin, end) in seconds of the part in which sound and picture are both there.

    Sound that starts less than one frame of `clip.fps` late begins with that much silence; sound that starts later
    moves the begin, so that no clip is padded with silence in secret.

    Raises:
        RejectedFile: it is shorter than one window.
    """
    shortest, needed = clip.window_sec - ROUNDING_SEC, f"one window is {clip.window_sec:g} s"
    video_sec, audio_sec = measured.video_end_sec, measured.audio_end_sec - measured.audio_start_sec
    if video_sec < shortest:
        raise RejectedFile("video_too_short", f"{measured.frames} frames, {video_sec:.2f} s; {needed}")
    if audio_sec < shortest:
        raise RejectedFile("audio_too_short", f"{audio_sec:.2f} s of sound; {needed}")
    begin = measured.audio_start_sec if measured.audio_start_sec > 1 / clip.fps else 0.0
    end = min(measured.video_end_sec, measured.audio_end_sec)
    if end - begin < shortest:
        sound = f"{measured.audio_start_sec:.2f} to {measured.audio_end_sec:.2f} s"
        raise RejectedFile("overlap_too_short", f"picture until {video_sec:.2f} s, sound from {sound}; {needed}")
    return begin, end


def cut(begin: float, end: float, clip: ClipParams) -> list[tuple[float, float]]:
    """Consecutive (start, duration) of whole frames, at most `clip.max_sec` and at least one window; a shorter rest is dropped."""
    begin = round(begin, 3)
    frames = int((end - begin + ROUNDING_SEC) * clip.fps)
    longest = int(clip.max_sec * clip.fps + 1e-6)
    pieces = [(first, min(longest, frames - first)) for first in range(0, frames, longest)]
    return [(round(begin + first / clip.fps, 6), length / clip.fps) for first, length in pieces if length >= clip.num_frames]


def num_windows(clips: list[tuple[float, float]], clip: ClipParams) -> int:
    """Windows in all clips of a source."""
    return sum(len(window_starts(round(duration * clip.fps), clip)) for _, duration in clips)
