"""What a file is made of, asked in the same way by the inventory and by decode: the main tracks, their units, a hash of the bytes."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import InputContainer

from stages.inventory.reasons import RejectedFile


def hash_file(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FileStamp(NamedTuple):
    """What changes whenever a file is written to, replaced, or given another time."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def file_stamp(path: Path) -> FileStamp | None:
    """The stamp of a file; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return FileStamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def main_streams(container: InputContainer) -> tuple[av.VideoStream, av.AudioStream]:
    """The picture and the sound that a player would show.

    Raises:
        RejectedFile: one is missing, or has no decoder.
    """
    return picture_stream(container), sound_stream(container)


def picture_stream(container: InputContainer) -> av.VideoStream:
    """The picture alone, whether or not there is a sound; as `main_streams`."""
    video = container.streams.best("video")
    if video is None or is_cover(video):
        raise RejectedFile("no_video_track", "no picture in the file" if video is None else "only a cover image")
    return _decodable(video, "picture")


def sound_stream(container: InputContainer) -> av.AudioStream:
    """The sound alone, whether or not there is a picture; as `main_streams`."""
    audio = container.streams.best("audio", related=container.streams.best("video"))
    if audio is None:
        raise RejectedFile("no_audio_track", "no sound in the file")
    return _decodable(audio, "sound")


def _decodable(stream: Any, name: str) -> Any:
    if stream.codec_context is None:
        raise RejectedFile("unsupported_codec", f"no decoder for the {name}")
    return stream


def is_cover(stream: object) -> bool:
    """Whether a video track is a still image that goes with a sound file."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)  # type: ignore[attr-defined]


def tick_sec(stream: av.VideoStream | av.AudioStream) -> float:
    """Seconds of one tick of a stream's timestamps."""
    assert stream.time_base is not None
    return float(stream.time_base)


def repeats_picture(packet: av.Packet) -> bool:
    """Whether a packet holds nothing and so says that the picture stays (Theora); a decoder would take it for the end."""
    return packet.size == 0 and packet.pts is not None


def piece_start_sec(frame: av.AudioFrame, seconds_per_tick: float, before_sec: float | None) -> float | None:
    """Where a decoded piece of sound begins; one without a time follows the one before (Windows Media leaves it off the last).

    Args:
        before_sec: where the piece before ended; None, and so the result, where there is none.
    """
    return before_sec if frame.pts is None else frame.pts * seconds_per_tick


def rotation_of(frame: av.VideoFrame) -> int:
    """Degrees by which the stored picture is to be turned counter-clockwise to stand upright: 0, 90, 180 or 270."""
    return round(frame.rotation / 90) * 90 % 360


def float_samples(frame: av.AudioFrame) -> np.ndarray:
    """float32 [channels, samples], full scale 1.0, of a decoded piece of sound in whatever format."""
    samples = frame.to_ndarray()
    channels = len(frame.layout.channels)
    if not frame.format.is_planar:
        samples = samples.reshape(-1, channels).T
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if np.issubdtype(samples.dtype, np.integer):
        return samples.astype(np.float32) / 2.0 ** (8 * samples.dtype.itemsize - 1)
    return samples.astype(np.float32, copy=False)
