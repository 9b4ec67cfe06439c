"""One file, read whole: what is really in it, or the reason why it is left out.

Every packet of picture and sound is decoded; no figure is taken from a header except to find out that the header lies.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer

from stages.inventory.audio_timeline import lay_pieces
from stages.inventory.reasons import RejectedFile

SILENCE_PEAK = 1 / 32768
"""Below the smallest step of 16-bit sound."""
TRUNCATION_SEC = 0.5
"""What may be missing at the end of a file without an index before it counts as cut off."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What was measured in one file. Times in seconds from the first shown frame."""

    sha256: str
    container: str
    """FFmpeg's name of the file format."""
    frame_times_sec: np.ndarray
    """float64 [n], ascending, first is 0."""
    video_end_sec: float
    audio_start_sec: float
    audio_end_sec: float
    width_px: int
    """As shown: after rotation and with the pixel's shape applied."""
    height_px: int
    audio_rate_hz: int
    audio_channels: int
    audio_peak: float
    """Largest sample, full scale 1.0; float codecs go beyond."""
    audio_rms: float
    hidden_frames: int
    """Frames in the file that an edit list hides."""
    video_streams: int
    rotation_deg: int
    size_changes: bool

    @property
    def fps(self) -> float:
        """Mean frame rate."""
        return len(self.frame_times_sec) / self.video_end_sec


@dataclass(slots=True)
class _Measured:
    """What one pass over the packets gathers."""

    frame_pts: list[int] = field(default_factory=list)
    last_frame_ticks: int = 0
    sizes: set[tuple[int, int]] = field(default_factory=set)
    rotation_deg: int = 0
    hidden_frames: int = 0
    audio_times: list[float] = field(default_factory=list)
    audio_sizes: list[int] = field(default_factory=list)
    formats: set[tuple[int, int]] = field(default_factory=set)
    peak: float = 0.0
    square_sum: float = 0.0
    samples: int = 0
    errors: dict[str, str] = field(default_factory=dict)


def hash_file(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def probe(path: Path) -> Probe:
    """Measure one file.

    Raises:
        RejectedFile: with the reason code and what was found.
    """
    try:
        before = path.stat()
        if before.st_size == 0:
            raise RejectedFile("empty_file", "0 bytes")
        digest = hash_file(path)
        with _opened(path) as container:
            measured = _probe_container(container, digest, before.st_size)
        after = path.stat()
    except OSError as error:  # FFmpeg's own errors are turned into reasons before they get here
        raise RejectedFile("unreadable", f"{error.strerror}") from None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise RejectedFile("changed_while_read", f"{before.st_size} bytes at first, {after.st_size} after")
    return measured


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    try:
        container = av.open(str(path), metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise RejectedFile("not_media", f"cannot be opened (truncated or not a media file): {error.strerror}") from None
    with container:
        yield container


def _probe_container(container: InputContainer, digest: str, file_bytes: int) -> Probe:
    video, audio = main_streams(container)
    video.codec_context.thread_count = audio.codec_context.thread_count = 1
    # Damage that a decoder would paint over becomes an error.
    video.codec_context.options = {"err_detect": "explode"}
    if "mov" in container.format.name:
        _require_all_bytes(video, audio, file_bytes)
    found = _measure(container, video, audio)
    seconds_per_tick = tick_sec(video)
    frame_times = np.array(found.frame_pts, np.float64) * seconds_per_tick
    audio_rate = next(iter(found.formats))[0] if found.formats else 1
    places = lay_pieces(np.array(found.audio_times), np.array(found.audio_sizes, np.int64), audio_rate)
    _require_promised_length(container, video, found, frame_times, places, audio_rate)
    _require_sound(found, frame_times)
    first = frame_times[0]
    width, height = max(found.sizes, key=lambda size: size[0] * size[1])
    width = round(width * float(video.sample_aspect_ratio or 1))
    if found.rotation_deg % 180:
        width, height = height, width
    return Probe(
        sha256=digest, container=container.format.name,
        frame_times_sec=frame_times - first,
        video_end_sec=float(frame_times[-1] - first + _last_frame_ticks(found) * seconds_per_tick),
        audio_start_sec=float(places[0] / audio_rate - first),
        audio_end_sec=float((places[-1] + found.audio_sizes[-1]) / audio_rate - first),
        width_px=width, height_px=height,
        audio_rate_hz=audio_rate, audio_channels=next(iter(found.formats))[1],
        audio_peak=found.peak, audio_rms=float(np.sqrt(found.square_sum / max(found.samples, 1))),
        hidden_frames=found.hidden_frames,
        video_streams=sum(not _is_cover(stream) for stream in container.streams.video),
        rotation_deg=found.rotation_deg, size_changes=len(found.sizes) > 1,
    )


def main_streams(container: InputContainer) -> tuple[av.VideoStream, av.AudioStream]:
    """The picture and the sound that a player would show.

    Raises:
        RejectedFile: one is missing, or has no decoder.
    """
    video = container.streams.best("video")
    if video is None or _is_cover(video):
        raise RejectedFile("no_video_track", "no picture in the file" if video is None else "only a cover image")
    audio = container.streams.best("audio", related=video)
    if audio is None:
        raise RejectedFile("no_audio_track", "no sound in the file")
    for stream, name in ((video, "picture"), (audio, "sound")):
        if stream.codec_context is None:
            raise RejectedFile("unsupported_codec", f"no decoder for the {name}")
    assert isinstance(video, av.VideoStream) and isinstance(audio, av.AudioStream)
    return video, audio


def tick_sec(video: av.VideoStream) -> float:
    """Seconds of one tick of a stream's timestamps."""
    assert video.time_base is not None
    return float(video.time_base)


def rotation_of(frame: av.VideoFrame) -> int:
    """Degrees by which the stored picture is to be turned counter-clockwise to stand upright: 0, 90, 180 or 270."""
    return round(frame.rotation / 90) * 90 % 360


def _is_cover(stream: object) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)  # type: ignore[attr-defined]


def _require_all_bytes(video: av.VideoStream, audio: av.AudioStream, file_bytes: int) -> None:
    """The index of an mp4 says where each packet lies; one beyond the end of the file was cut off."""
    for stream, name in ((video, "picture"), (audio, "sound")):
        entries = [entry for entry in stream.index_entries if entry.size > 0]
        lost = sum(entry.pos + entry.size > file_bytes for entry in entries)
        if lost:
            raise RejectedFile("truncated", f"{lost} of {len(entries)} packets of the {name} lie beyond the end of the file")


def _measure(container: InputContainer, video: av.VideoStream, audio: av.AudioStream) -> _Measured:
    found = _Measured()
    try:
        for packet in container.demux(video, audio):
            kind = "video" if packet.stream is video else "audio"
            found.hidden_frames += kind == "video" and packet.is_discard
            if kind in found.errors:
                continue
            try:
                for frame in packet.decode():
                    _add_frame(found, frame, packet.is_corrupt)
            except av.error.FFmpegError as error:
                found.errors[kind] = f"{error.strerror} at {_progress(found, kind, video)}"
    except av.error.FFmpegError as error:
        raise RejectedFile("container_error", f"{error.strerror} after {_progress(found, 'video', video)}") from None
    for kind in ("video", "audio"):
        if kind in found.errors:
            raise RejectedFile(f"{kind}_decode_error", found.errors[kind])
    return found


def _add_frame(found: _Measured, frame: object, damaged: bool) -> None:
    if isinstance(frame, av.VideoFrame):
        if frame.pts is None or (found.frame_pts and frame.pts < found.frame_pts[-1]):
            raise RejectedFile("bad_timestamps", f"frame {len(found.frame_pts)} has time {frame.pts} after {found.frame_pts[-1:]}")
        if frame.is_corrupt or damaged:
            found.errors.setdefault("video", f"damaged frame {len(found.frame_pts)}")
        found.frame_pts.append(frame.pts)
        found.last_frame_ticks = frame.duration or 0
        found.sizes.add((frame.width, frame.height))
        found.rotation_deg = rotation_of(frame)
    elif isinstance(frame, av.AudioFrame):
        if frame.pts is None or frame.time_base is None:
            raise RejectedFile("bad_timestamps", f"sound without a time after {len(found.audio_times)} pieces")
        samples = float_samples(frame)
        found.audio_times.append(float(frame.pts * frame.time_base))
        found.audio_sizes.append(frame.samples)
        found.formats.add((frame.sample_rate, len(frame.layout.channels)))
        if len(found.formats) > 1:
            raise RejectedFile("audio_format_changes", " then ".join(f"{rate} Hz x {channels}" for rate, channels in sorted(found.formats)))
        found.peak = max(found.peak, float(np.abs(samples).max(initial=0.0)))
        found.square_sum += float(np.square(samples, dtype=np.float64).mean(axis=0).sum())
        found.samples += frame.samples


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


def _progress(found: _Measured, kind: str, video: av.VideoStream) -> str:
    if kind == "video":
        frames = len(found.frame_pts)
        return f"frame {frames}" + (f" ({found.frame_pts[-1] * tick_sec(video):.2f} s)" if frames else "")
    return f"{found.audio_times[-1]:.2f} s" if found.audio_times else "its start"


def _require_promised_length(
    container: InputContainer, video: av.VideoStream, found: _Measured, frame_times: np.ndarray, places: np.ndarray, audio_rate: int,
) -> None:
    """Files without an index of all packets (fragments, mkv, webm, avi): the promised length must be there."""
    if container.duration is None or ("mov" in container.format.name and video.frames > 0):
        return
    promised = (container.duration + (container.start_time or 0)) / av.time_base
    ends = [frame_times[-1] + _last_frame_ticks(found) * tick_sec(video)] if len(frame_times) else []
    ends += [(places[-1] + found.audio_sizes[-1]) / audio_rate] if len(places) else []
    reached = max(ends, default=0.0)
    if reached < promised - TRUNCATION_SEC:
        raise RejectedFile("truncated", f"{reached:.2f} s could be decoded, the header promises {promised:.2f} s")


def _require_sound(found: _Measured, frame_times: np.ndarray) -> None:
    if len(frame_times) == 0:
        raise RejectedFile("video_too_short", "no frame could be decoded")
    if not found.audio_sizes:
        raise RejectedFile("audio_too_short", "no sound could be decoded")


def _last_frame_ticks(found: _Measured) -> int:
    """How long the last frame is shown; the usual gap where the file does not say."""
    if found.last_frame_ticks > 0 or len(found.frame_pts) < 2:
        return found.last_frame_ticks
    return int(np.median(np.diff(found.frame_pts)))
