"""The files that the page shows: real windows as mp4 with sound, samples copied, mel images coloured."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.contracts.audio_image_shards import gray_array, read_audio_images
from pipeline.contracts.decoded import read_decoded
from pipeline.contracts.outputs import atomic_path
from pipeline.contracts.samples import read_lossless
from pipeline.contracts.windows import window_key, window_waveform
from pipeline.errors import DataError
from pipeline.params import AudioParams, ClipParams
from stages.sample.mux import display_scale, write_mp4

MEL_COLOURS = {0: (8, 8, 30), 64: (70, 20, 110), 128: (180, 50, 110), 192: (250, 140, 90), 255: (255, 250, 210)}
"""Gray level -> colour, rising in lightness so that it also reads without colour."""

SHEET_SIDE_PX = 96
SHEET_FRAMES = 32
"""Of a longer video, as many, evenly spaced."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One video on the page, with the picture of its sound."""

    name: str
    class_name: str
    mp4: str
    """Relative to the page."""
    mel: str
    poster: str
    """Its middle frame, seen until it plays."""


class Media:
    """Writes into `folder`/media what is asked for, each file once."""

    def __init__(self, folder: Path, clip: ClipParams, audio: AudioParams, *, decode: Path, audio_images: Path, sample: Path) -> None:
        self.folder, self.clip, self.audio, self.sample = folder, clip, audio, sample
        self.clips, self.images = read_decoded(decode), read_audio_images(audio_images)
        self._clip_index = {key: i for i, key in enumerate(self.clips.keys)}
        self._image_index = {key: i for i, key in enumerate(self.images.keys)}
        self._of_class: dict[int, list[tuple[str, int]]] = {}
        known: set[str] = set()
        for image in read_audio_images(audio_images, "test"):
            meta = image["meta"]
            if meta["clip_id"] not in known and meta["clip_id"] in self._clip_index:
                known.add(meta["clip_id"])
                self._of_class.setdefault(int(meta["class_id"]), []).append((meta["clip_id"], int(meta["start_frame"])))
        self._strips: dict[str, list[np.ndarray]] = {}
        (folder / "media").mkdir(exist_ok=True)

    def real(self, clip_id: str, start_frame: int) -> Shown:
        """A real window, held out or learnt from."""
        key = window_key(clip_id, start_frame)
        if clip_id not in self._clip_index or key not in self._image_index:
            raise DataError(f"a sample is conditioned on, or near to, window {key}, which {self.clips.folder} or {self.images.folder} "
                            "does not hold; run: dvc repro sample evaluate")
        decoded = self.clips[self._clip_index[clip_id]]
        shown = Shown(key, str(decoded["meta"]["class_name"]), *_names(f"real-{key}"))
        if not (self.folder / shown.mp4).exists():
            frames = decoded["frames"][start_frame:start_frame + self.clip.num_frames]
            sound = window_waveform(decoded["waveform"], start_frame, self.clip, self.audio)
            write_mp4(self.folder / shown.mp4, frames, self.clip.fps, sound, self.audio.sample_rate_hz, scale=display_scale(frames))
            write_mel(self.folder / shown.mel, gray_array(self.images[self._image_index[key]]["gray"]))
            write_poster(self.folder / shown.poster, frames)
        return shown

    def generated(self, row: pd.Series, *, on_sheet: bool = True) -> Shown:
        """A row of samples.parquet.

        Args:
            on_sheet: whether it gets a row of its task's sheet.
        """
        name = str(row["sample_id"])
        shown = Shown(name, str(row["class_name"]), *_names(name))
        source = self.sample / str(row["mp4"])
        if not source.is_file():
            raise DataError(f"{source} is missing though samples.parquet names it; run: dvc repro sample --force")
        shutil.copyfile(source, self.folder / shown.mp4)
        frames, _, gray = read_lossless(self.sample / str(row["lossless"]))
        write_mel(self.folder / shown.mel, gray)
        write_poster(self.folder / shown.poster, frames)
        if on_sheet:
            self._strips.setdefault(str(row["task"]), []).append(strip(frames, gray))
        return shown

    def write_sheets(self) -> None:
        """`media/sheet-<task>.png`: every generated example so far, a row each, all frames and the mel image at the end."""
        for task, strips in self._strips.items():
            _write_png(self.folder / sheet_name(task), Image.fromarray(np.concatenate(strips)))

    def window_of_class(self, class_id: int, place: int) -> tuple[str, int] | None:
        """(clip_id, first frame) of a held-out window of a class: the first of its `place`-th clip, counted round."""
        windows = self._of_class.get(class_id, [])
        return windows[place % len(windows)] if windows else None


def write_mel(path: Path, gray: np.ndarray) -> None:
    """A gray mel image uint8 [n_mels, columns] as a coloured PNG, three times larger, low pitch below."""
    table = np.stack([np.interp(np.arange(256), list(MEL_COLOURS), channel) for channel in zip(*MEL_COLOURS.values(), strict=True)], axis=1)
    image = Image.fromarray(table.round().astype(np.uint8)[gray])
    _write_png(path, image.resize((image.width * 3, image.height * 3), Image.Resampling.NEAREST))


def write_poster(path: Path, frames: np.ndarray) -> None:
    """The middle frame of uint8 [F, H, W, 3] as a PNG, as large as the video is shown."""
    scale = display_scale(frames)
    _write_png(path, Image.fromarray(frames[len(frames) // 2].repeat(scale, axis=0).repeat(scale, axis=1)))


def strip(frames: np.ndarray, gray: np.ndarray) -> np.ndarray:
    """All frames uint8 [F, H, W, 3] of a window side by side, then its gray mel image: [h, about (F + 1.25) h, 3], h at most 96."""
    side = min(frames.shape[1], SHEET_SIDE_PX)
    frames = frames[np.linspace(0, len(frames) - 1, min(len(frames), SHEET_FRAMES)).round().astype(int)]
    pictures = [np.asarray(Image.fromarray(frame).resize((side, side), Image.Resampling.BICUBIC)) for frame in frames]
    mel = Image.fromarray(gray).convert("RGB").resize((round(side * gray.shape[1] / gray.shape[0]), side), Image.Resampling.BICUBIC)
    return np.concatenate([*pictures, np.asarray(mel)], axis=1)


def sheet_name(task: str) -> str:
    """Where a task's sheet lies, relative to the page."""
    return f"media/sheet-{task}.png"


def _names(stem: str) -> tuple[str, str, str]:
    """(mp4, mel, poster) relative to the page."""
    return f"media/{stem}.mp4", f"media/{stem}-mel.png", f"media/{stem}-frame.png"


def _write_png(path: Path, image: Image.Image) -> None:
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG")
