"""One file, read whole: what is really in it, or the reason why it is left out.

Every packet of picture and sound is decoded; no figure is taken from a header except to find out that the header lies.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer

from stages.inventory.audio_timeline import lay_pieces
from stages.inventory.measured import Measured
from stages.inventory.picture_look import PictureLook
from stages.inventory.reasons import RejectedFile
from stages.inventory.sound_look import SoundLook
from stages.inventory.streams import float_samples, is_cover, main_streams, piece_start_sec, repeats_picture, rotation_of, tick_sec

ONE_FILE_ONLY = {
    "protocol_whitelist": "file",
    "format_whitelist": "asf,avi,dv,flv,gxf,matroska,mov,mpeg,mpegts,mxf,nut,ogg,rm,wtv,"  # picture and sound
                        "aac,flac,gif,h264,hevc,ivf,m4v,mp3,mpegvideo,wav",  # one of both, to be told so
}
"""A playlist, whatever its name ends with, would make FFmpeg open the files and addresses that it lists."""
TIME_TOLERANCE_SEC = 0.0015
"""A time base of milliseconds rounds both ends of a frame."""
MAX_GAP_SEC = 3600.0
"""Between two frames; more is a clock that jumped."""
MAX_SOUND_JITTER_SEC = 0.05
"""Of 95 in 100 pieces of sound, about where they lie end to end. The worst of 62 real clips: 0.020."""
TRUNCATION_SEC = 0.5
"""What may be missing at the end of a file without an index before it counts as cut off."""


@dataclass(slots=True)
class _Found:
    """What one pass over the packets gathers."""

    frame_pts: list[int] = field(default_factory=list)
    last_frame_ticks: int = 0
    sizes: set[tuple[int, int]] = field(default_factory=set)
    rotation_deg: int = 0
    hidden_frames: int = 0
    audio_times: list[float] = field(default_factory=list)
    audio_sizes: list[int] = field(default_factory=list)
    formats: set[tuple[int, int]] = field(default_factory=set)
    audio_layout: str = ""
    picture: PictureLook = field(default_factory=PictureLook)
    sound: SoundLook | None = None
    errors: dict[str, str] = field(default_factory=dict)


def probe(path: Path, alive: Callable[[], None] = lambda: None) -> tuple[Measured, np.ndarray]:
    """Measure one file.

    Args:
        path: the file.
        alive: called for every packet, for a watchdog.

    Returns:
        What was measured (without a reader), and the times of all frames: float64 [n] in seconds, ascending, the first is 0.

    Raises:
        RejectedFile: with the reason code and what was found.
        OSError: the file cannot be read.
    """
    file_bytes = path.stat().st_size
    if file_bytes == 0:
        raise RejectedFile("empty_file", "0 bytes")
    with _opened(path) as container:
        return _probe_container(container, file_bytes, alive)


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    try:
        container = av.open(str(path), options=ONE_FILE_ONLY, metadata_errors="replace")
    except av.error.ArgumentError:
        raise RejectedFile("not_media", "no container of picture and sound (a playlist, a picture or a text is none)") from None
    except av.error.FFmpegError as error:
        raise RejectedFile("not_media", f"cannot be opened (truncated or not a media file): {error.strerror}") from None
    with container:
        yield container


def _probe_container(container: InputContainer, file_bytes: int, alive: Callable[[], None]) -> tuple[Measured, np.ndarray]:
    video, audio = main_streams(container)
    video.codec_context.thread_count = audio.codec_context.thread_count = 1
    # Damage that a decoder would paint over becomes an error.
    video.codec_context.options = {"err_detect": "explode"}
    if "mov" in container.format.name:
        _require_all_bytes(video, audio, file_bytes)
    found = _read_through(container, video, audio, alive)
    seconds_per_tick = tick_sec(video)
    frame_times = np.array(found.frame_pts, np.float64) * seconds_per_tick
    audio_rate = next(iter(found.formats))[0] if found.formats else 1
    places = lay_pieces(np.array(found.audio_times), np.array(found.audio_sizes, np.int64), audio_rate)
    _require_promised_length(container, video, found, frame_times, places, audio_rate)
    sound = _require_both(found, frame_times)
    _require_steady_sound(np.array(found.audio_times), places / audio_rate)
    first = frame_times[0]
    video_end_sec = float(frame_times[-1] - first + _last_frame_ticks(found) * seconds_per_tick)
    found.picture.finish(video_end_sec)
    sound.finish()
    width, height = max(found.sizes, key=lambda size: size[0] * size[1])
    width = round(width * float(video.sample_aspect_ratio or 1))
    if found.rotation_deg % 180:
        width, height = height, width
    streams = container.streams
    measured = Measured(
        container=container.format.name, video_codec=video.codec_context.name, audio_codec=audio.codec_context.name,
        frames=len(frame_times), hidden_frames=found.hidden_frames,
        video_start_sec=float(first), video_end_sec=video_end_sec,
        audio_start_sec=float(places[0] / audio_rate - first),
        audio_end_sec=float((places[-1] + found.audio_sizes[-1]) / audio_rate - first),
        width_px=width, height_px=height, rotation_deg=found.rotation_deg, size_changes=len(found.sizes) > 1,
        variable_rate=_variable_rate(frame_times),
        video_streams=sum(not is_cover(stream) for stream in streams.video), audio_streams=len(streams.audio),
        audio_rate_hz=audio_rate, audio_channels=next(iter(found.formats))[1], audio_layout=found.audio_layout,
        audio_peak=sound.peak, audio_rms=sound.rms, loudness_lufs=sound.loudness_lufs, full_scale_share=sound.full_scale_share,
        black_share=found.picture.black_share, picture_change=found.picture.change,
        picture_hashes=found.picture.hashes, sound_words=sound.words(),
    )
    return measured, frame_times - first


def _variable_rate(times_sec: np.ndarray) -> bool:
    gaps = np.diff(times_sec)
    return bool(len(gaps) and np.abs(gaps - np.median(gaps)).max() > TIME_TOLERANCE_SEC)


def _require_all_bytes(video: av.VideoStream, audio: av.AudioStream, file_bytes: int) -> None:
    """The index of an mp4 says where each packet lies; one beyond the end of the file was cut off."""
    for stream, name in ((video, "picture"), (audio, "sound")):
        entries = [entry for entry in stream.index_entries if entry.size > 0]
        lost = sum(entry.pos + entry.size > file_bytes for entry in entries)
        if lost:
            raise RejectedFile("truncated", f"{lost} of {len(entries)} packets of the {name} lie beyond the end of the file")


def _read_through(container: InputContainer, video: av.VideoStream, audio: av.AudioStream, alive: Callable[[], None]) -> _Found:
    found = _Found()
    tick = {"video": tick_sec(video), "audio": tick_sec(audio)}
    try:
        for packet in _packets(container, video, audio):
            alive()
            kind = "video" if packet.stream is video else "audio"
            found.hidden_frames += kind == "video" and packet.is_discard
            if kind in found.errors or repeats_picture(packet):
                continue
            try:
                for frame in packet.decode():
                    _add_frame(found, frame, packet.is_corrupt, tick[kind])
            except av.error.FFmpegError as error:
                found.errors[kind] = f"{error.strerror} at {_progress(found, kind, video)}"
    except av.error.FFmpegError as error:
        raise RejectedFile("container_error", f"{error.strerror} after {_progress(found, 'video', video)}") from None
    for kind in ("video", "audio"):
        if kind in found.errors:
            raise RejectedFile(f"{kind}_decode_error", found.errors[kind])
    return found


def _packets(container: InputContainer, video: av.VideoStream, audio: av.AudioStream) -> Iterator[av.Packet]:
    packets = container.demux(video, audio)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except IndexError:  # PyAV's, at a packet of a track that was not there when the file was opened (seen in damaged MPEG-TS)
            raise RejectedFile("container_error", "a further track begins in the middle of the file") from None
        yield packet


def _add_frame(found: _Found, frame: object, damaged: bool, seconds_per_tick: float) -> None:
    if isinstance(frame, av.VideoFrame):
        if frame.pts is None or (found.frame_pts and frame.pts < found.frame_pts[-1]):
            raise RejectedFile("bad_timestamps", f"frame {len(found.frame_pts)} has time {frame.pts} after {found.frame_pts[-1:]}")
        if found.frame_pts and (gap_sec := (frame.pts - found.frame_pts[-1]) * seconds_per_tick) > MAX_GAP_SEC:
            raise RejectedFile("bad_timestamps", f"frame {len(found.frame_pts)} comes {gap_sec:.0f} s after the one before")
        if frame.is_corrupt or damaged:
            found.errors.setdefault("video", f"damaged frame {len(found.frame_pts)}")
        found.frame_pts.append(frame.pts)
        found.picture.add(frame, (frame.pts - found.frame_pts[0]) * seconds_per_tick)
        found.last_frame_ticks = frame.duration or 0
        found.sizes.add((frame.width, frame.height))
        found.rotation_deg = rotation_of(frame)
    elif isinstance(frame, av.AudioFrame):
        before_sec = found.audio_times[-1] + found.audio_sizes[-1] / frame.sample_rate if found.audio_times else None
        start_sec = piece_start_sec(frame, seconds_per_tick, before_sec)
        if start_sec is None:
            raise RejectedFile("bad_timestamps", "the sound begins without a time")
        found.audio_times.append(start_sec)
        found.audio_sizes.append(frame.samples)
        found.audio_layout = frame.layout.name
        found.formats.add((frame.sample_rate, len(frame.layout.channels)))
        if len(found.formats) > 1:
            raise RejectedFile("audio_format_changes", " then ".join(f"{rate} Hz x {channels}" for rate, channels in sorted(found.formats)))
        if found.sound is None:
            found.sound = SoundLook(frame.sample_rate, tuple(channel.name for channel in frame.layout.channels))
        found.sound.add(float_samples(frame))


def _progress(found: _Found, kind: str, video: av.VideoStream) -> str:
    if kind == "video":
        frames = len(found.frame_pts)
        return f"frame {frames}" + (f" ({found.frame_pts[-1] * tick_sec(video):.2f} s)" if frames else "")
    return f"{found.audio_times[-1]:.2f} s" if found.audio_times else "its start"


def _require_promised_length(
    container: InputContainer, video: av.VideoStream, found: _Found, frame_times: np.ndarray, places: np.ndarray, audio_rate: int,
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


def _require_both(found: _Found, frame_times: np.ndarray) -> SoundLook:
    if len(frame_times) == 0:
        raise RejectedFile("video_too_short", "no frame could be decoded")
    if found.sound is None:
        raise RejectedFile("audio_too_short", "no sound could be decoded")
    return found.sound


def _require_steady_sound(times_sec: np.ndarray, laid_sec: np.ndarray) -> None:
    """The pieces lie, but for jitter, where their times say; else nobody can tell what is heard with which picture."""
    apart_sec = float(np.quantile(np.abs(times_sec - laid_sec), 0.95))
    if apart_sec > MAX_SOUND_JITTER_SEC:
        raise RejectedFile("bad_timestamps", f"the times of the sound and its length contradict each other by {apart_sec:.3f} s")


def _last_frame_ticks(found: _Found) -> int:
    """How long the last frame is shown; the usual gap where the file does not say."""
    if found.last_frame_ticks > 0 or len(found.frame_pts) < 2:
        return found.last_frame_ticks
    return int(np.median(np.diff(found.frame_pts)))
