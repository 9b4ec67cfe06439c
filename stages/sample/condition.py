"""A user's own file as condition: through the code that decoded the training data, to the same frames, sound and mel image."""

import math
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.contracts.decoded import float_waveform
from pipeline.contracts.windows import window_waveform
from pipeline.errors import DataError
from pipeline.params import AudioImagesParams, AudioParams, ClipParams
from stages.audio_images.windows import clip_images
from stages.decode.audio import first_sample_sec, read_waveform, to_int16
from stages.decode.picture import fit_picture
from stages.decode.video import PyavReader
from stages.inventory.probe import ONE_FILE_ONLY
from stages.inventory.reasons import RejectedFile
from stages.inventory.streams import picture_stream, rotation_of, sound_stream
from stages.inventory.stretches import ROUNDING_SEC
from stages.sample.shown import Shown

PICTURES = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
"""Of Pillow's formats; some of the others would start programs, or are videos."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What a file gives, as a window."""

    frames: np.ndarray | None
    """uint8 [F, H, W, 3]; None: no picture was asked for."""
    waveform: np.ndarray | None
    """int16 [S]."""
    gray: np.ndarray | None
    """uint8 [n_mels, columns]."""
    start_sec: float
    """Of the window in the file."""
    length_sec: float
    """Of the file, as far as it can be used; 0 of a still picture."""

    def beside(self, made: Shown) -> Shown:
        """What was given, filled up with what was made."""
        frames, waveform, gray = self.frames, self.waveform, self.gray
        return Shown(made.frames if frames is None else frames, made.waveform if waveform is None else waveform,
                     made.gray if gray is None else gray)


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of a file in which all that is asked for is there, from its first shown frame (or sample) on."""

    zero_sec: float
    """Timestamp of that frame or sample."""
    begin_sec: float
    end_sec: float


def read_condition(path: Path, clip: ClipParams, audio: AudioParams, audio_images: AudioImagesParams, *, picture: bool, sound: bool,
                   start_sec: float | None, last: bool) -> Condition:
    """A window of a video or of a sound.

    Args:
        picture, sound: which of both the task asks for; a file may lack the other.
        start_sec: where it begins; None: the first window, or the last one if `last`. Moved to the nearest of the frames' times.

    Raises:
        DataError: the file cannot be read, lacks what is asked for, or is too short.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist, or is no file; name a video, a sound or a picture")
    needed = " and ".join(name for name, is_so in (("a picture", picture), ("a sound", sound)) if is_so)
    try:
        stretch = _stretch(path, clip, picture=picture, sound=sound)
        window_sec, length_sec = clip.window_sec, stretch.end_sec - stretch.begin_sec
        if length_sec < window_sec - ROUNDING_SEC:
            raise DataError(f"{path} has {max(length_sec, 0):.2f} s of {needed}, one window needs {window_sec:g} s; give a longer file")
        num_frames = math.floor((length_sec + ROUNDING_SEC) * clip.fps)
        latest = max(num_frames - clip.num_frames, 0)
        first = (latest if last else 0) if start_sec is None else round((start_sec - stretch.begin_sec) * clip.fps)
        if start_sec is not None and not 0 <= first <= latest:
            raise DataError(f"{path} has {needed} from {stretch.begin_sec:.2f} to {stretch.end_sec:.2f} s, no window of {window_sec:g} s "
                            f"from {start_sec:g} s on; --start can be {stretch.begin_sec:.2f} to "
                            f"{stretch.begin_sec + latest / clip.fps:.2f}")
        # As in training: a window of a clip, which begins at a multiple of clip.max_sec and whose peak and edges the sound is read with.
        longest = int(clip.max_sec * clip.fps + 1e-6)
        clip_first, own_first = first // longest * longest, first % longest
        clip_sec = round(stretch.begin_sec, 3) + clip_first / clip.fps
        frames = _frames(path, clip, clip_sec + own_first / clip.fps) if picture else None
        wave = gray = None
        if sound:
            count = max(min(longest, num_frames - clip_first), own_first + clip.num_frames)
            read, _ = to_int16(read_waveform(path, stretch.zero_sec, clip_sec, count / clip.fps, audio.sample_rate_hz))
            wave = window_waveform(read, own_first, clip, audio)
            gray = clip_images(float_waveform(read), [own_first], clip, audio, audio_images)[0]
    except RejectedFile as rejection:
        raise DataError(f"{path} cannot be the condition: {rejection.detail}; needed: {needed}") from None
    except (av.error.FFmpegError, AssertionError, RuntimeError, OSError) as error:
        why = " ".join((getattr(error, "strerror", None) or str(error)).split())[:200]
        raise DataError(f"{path} cannot be read ({why}); convert it, or give another file") from None
    return Condition(frames, wave, gray, clip_sec + own_first / clip.fps, length_sec)


def read_still(path: Path, clip: ClipParams) -> Condition | None:
    """A picture (png, jpg, ...) that stands still for a window; None: the file is no picture.

    Raises:
        DataError: it is one, and cannot be read.
    """
    try:
        with Image.open(path, formats=PICTURES) as image:
            if getattr(image, "n_frames", 1) > 1:
                return None
            pixels = np.asarray(_rgb(ImageOps.exif_transpose(image)))
    except UnidentifiedImageError:
        return None
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read ({' '.join(str(error).split())[:200]}); give another picture") from None
    fitted = fit_picture(pixels, (pixels.shape[1], pixels.shape[0]), clip.frame_size_px, clip.fit)
    return Condition(fitted[None].repeat(clip.num_frames, axis=0), None, None, 0.0, 0.0)


def _rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB; what is transparent is black."""
    if image.mode.startswith("I"):  # 16 bits of gray, which Pillow would clip to 8
        return Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image.convert("RGBA"))
    return image.convert("RGB")


def _frames(path: Path, clip: ClipParams, start_sec: float) -> np.ndarray:
    with av.open(str(path), metadata_errors="replace") as container:
        video = picture_stream(container)
        video.codec_context.thread_count = 1
        shown = next(container.decode(video))
        width, height = round(shown.width * float(video.sample_aspect_ratio or 1)), shown.height
        if rotation_of(shown) % 180:
            width, height = height, width
    with PyavReader(path) as reader:
        pictures = list(reader.pictures(start_sec, clip.fps, clip.num_frames))
    return np.stack([fit_picture(picture, (width, height), clip.frame_size_px, clip.fit) for picture in pictures])


def _stretch(path: Path, clip: ClipParams, *, picture: bool, sound: bool) -> Stretch:
    ends = _ends(path, picture=picture, sound=sound)
    starts = [first_sample_sec(path)] if sound else []
    if picture:
        with PyavReader(path) as reader:
            starts.insert(0, reader.zero_sec)
    # Sound that begins less than a frame late begins with that much silence, as in the inventory.
    late_sec = max(starts) - starts[0]
    return Stretch(starts[0], late_sec if late_sec > 1 / clip.fps else 0.0, min(ends) - starts[0])


def _ends(path: Path, *, picture: bool, sound: bool) -> list[float]:
    """Timestamps at which the tracks end, by their packets; nothing is decoded."""
    with av.open(str(path), options=ONE_FILE_ONLY, metadata_errors="replace") as container:
        streams = [*([picture_stream(container)] if picture else []), *([sound_stream(container)] if sound else [])]
        times: dict[int, list[tuple[float, float]]] = {stream.index: [] for stream in streams}
        for packet in container.demux(*streams):
            time = packet.dts if packet.pts is None else packet.pts
            if time is not None and packet.time_base is not None and not packet.is_discard:
                times[packet.stream.index].append((float(time * packet.time_base), float((packet.duration or 0) * packet.time_base)))
    ends = []
    for found in times.values():
        if not found:
            raise RejectedFile("bad_timestamps", "a track without times")
        last_sec, lasting_sec = max(found)
        usual_sec = float(np.median(np.diff(np.sort([time for time, _ in found])))) if len(found) > 1 else 0.0
        ends.append(last_sec + (lasting_sec or usual_sec))
    return ends
