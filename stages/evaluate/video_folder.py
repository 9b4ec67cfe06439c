"""A folder of videos as windows: what `mmldm evaluate` compares. Read by the code that decodes the training data, one window at a time."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np

from pipeline.contracts.outputs import hash_file
from pipeline.contracts.window_sets import Place, SourceClips, Window
from pipeline.errors import DataError
from pipeline.params import AudioParams, ClipParams
from stages.decode.audio import read_waveform, to_int16
from stages.decode.picture import fit_picture
from stages.decode.video import PyavReader
from stages.inventory.listing import VIDEO_ENDINGS
from stages.inventory.probe import ONE_FILE_ONLY
from stages.inventory.reasons import RejectedFile
from stages.inventory.streams import picture_stream, rotation_of, sound_stream

ENDINGS = VIDEO_ENDINGS | {".gif"}
NO_CLASS = -1


@dataclass(frozen=True, slots=True)
class VideoFile:
    """What is worth knowing of a video before a window of it is read."""

    path: Path
    name: str
    """Relative to the folder."""
    width_px: int
    height_px: int
    """As shown: rotated, with square pixels."""
    fps: float
    num_frames: int
    rate_hz: int
    """Of its sound; 0: it has none."""

    @property
    def duration_sec(self) -> float:
        """Of the picture."""
        return self.num_frames / self.fps


def survey(folder: Path) -> list[VideoFile]:
    """Every video of a folder, at any depth and behind links, sorted by name; of the frames, counted by their packets, one is decoded.

    Raises:
        DataError: no folder, no video in it, or one that cannot be read, by name.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; name a folder of videos")
    paths = sorted(_videos(folder))
    if not paths:
        raise DataError(f"{folder} holds no video ({', '.join(sorted(ending[1:] for ending in ENDINGS))}); name a folder that does")
    return [_look_at(path, path.relative_to(folder).as_posix()) for path in paths]


def _videos(folder: Path) -> Iterator[Path]:
    """Those not hidden; of a folder that a link leads back to, no second time."""
    seen: set[Path] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if (real := Path(place).resolve()) in seen:
            folders.clear()
            continue
        seen.add(real)
        paths = (Path(place) / name for name in names if not name.startswith("."))
        yield from (path for path in paths if path.suffix.lower() in ENDINGS and path.is_file())


class FolderWindows:
    """Windows of the videos of a folder, in the order of `places`."""

    def __init__(self, files: Sequence[VideoFile], places: Sequence[Place], clip: ClipParams, audio: AudioParams) -> None:
        """Args:
            places: `clip_id` is the name of a file; frames are counted at `clip.fps`.
            clip: shape of the windows; `frame_size_px` is the side of the square that pictures are fitted into.
        """
        self.files, self.places, self.clip, self.audio = {file.name: file for file in files}, list(places), clip, audio

    @property
    def names(self) -> list[str]:
        return [place.clip_id + (f" at {place.start_frame / self.clip.fps:g} s" if place.start_frame else "") for place in self.places]

    @property
    def class_ids(self) -> list[int]:
        return [NO_CLASS] * len(self.places)

    @property
    def origins(self) -> list[tuple[str, float]]:
        # By content, not by name: whatever files are called, the same sets are redrawn and the same pairs parted.
        return [(content(self.files[place.clip_id].path), place.start_frame / self.clip.fps) for place in self.places]

    @property
    def addresses(self) -> list[str]:
        shape = f"{self.clip}, {self.audio.sample_rate_hz} Hz"
        return [f"{content(self.files[place.clip_id].path)} {place.start_frame} {shape}" for place in self.places]

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Window]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i: int) -> Window:
        place, clip = self.places[i], self.clip
        file, start_sec = self.files[place.clip_id], place.start_frame / clip.fps
        try:
            with PyavReader(file.path) as reader:
                pictures = list(reader.pictures(start_sec, clip.fps, clip.num_frames))
                zero_sec = reader.zero_sec
            wave = np.zeros(round(clip.window_sec * self.audio.sample_rate_hz), np.float32)
            if file.rate_hz:
                wave = read_waveform(file.path, zero_sec, start_sec, clip.window_sec, self.audio.sample_rate_hz)
        except (av.error.FFmpegError, RejectedFile, AssertionError, RuntimeError, OSError) as error:
            raise DataError(f"{file.path} cannot be read from {start_sec:g} s on ({_said(error)}); take it out of the folder") from None
        frames = np.stack([fit_picture(picture, (file.width_px, file.height_px), clip.frame_size_px, clip.fit) for picture in pictures])
        return Window(self.names[i], NO_CLASS, frames, to_int16(wave)[0])


def as_sources(files: Sequence[VideoFile], clip: ClipParams) -> list[SourceClips]:
    """Each file as a source of one clip, for `window_sets.spread`; files shorter than a window have none."""
    return [SourceClips(file.name, 0, ((file.name, frames_at(file, clip.fps)),)) for file in files]


def frames_at(file: VideoFile, fps: int) -> int:
    """How many frames a file gives at a rate."""
    return int(file.duration_sec * fps + 1e-3)


@cache
def content(path: Path) -> str:
    """sha256 of a video's bytes, read once."""
    return hash_file(path)


def _look_at(path: Path, name: str) -> VideoFile:
    try:
        with av.open(str(path), options=ONE_FILE_ONLY, metadata_errors="replace") as container:
            video = picture_stream(container)
            video.codec_context.thread_count = 1
            rate_hz = sound_stream(container).rate if container.streams.audio else 0
            shown = next(container.decode(video))
            width, height = round(shown.width * float(video.sample_aspect_ratio or 1)), shown.height
            if rotation_of(shown) % 180:
                width, height = height, width
            fps = float(video.average_rate or video.guessed_rate or 0)
        with av.open(str(path), options=ONE_FILE_ONLY, metadata_errors="replace") as container:
            packets = container.demux(picture_stream(container))
            count = sum(1 for packet in packets if packet.pts is not None and not packet.is_discard)
    except (av.error.FFmpegError, RejectedFile, StopIteration, OSError) as error:
        raise DataError(f"{path} cannot be read ({_said(error)}); take it out of the folder, or convert it") from None
    if fps <= 0 or not count:
        raise DataError(f"{path} says neither how many frames it has nor how fast they follow; convert it")
    return VideoFile(path, name, width, height, fps, count, rate_hz)


def _said(error: Exception) -> str:
    told = error.detail if isinstance(error, RejectedFile) else getattr(error, "strerror", None)
    detail = told or str(error) or type(error).__name__
    return " ".join(detail.split())[:120]
