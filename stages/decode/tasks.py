"""What a worker is told about one clip (free of torch and pandas, so that neither side loads what the other one alone needs)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.params import ClipParams

Reader = Literal["decord", "pyav"]


@dataclass(frozen=True, slots=True)
class ClipTask:
    """A row of `clips.parquet` and how it is to be decoded."""

    raw: Path
    clip_id: str
    source_path: str
    source_sha256: str
    class_id: int
    class_name: str
    split: str
    start_sec: float
    num_frames: int
    shown_px: tuple[int, int]
    reader: Reader
    fps: int
    size_px: int
    fit: Literal["pad", "crop"]
    rate_hz: int

    def decided_by(self) -> list[object]:
        """All that decides the frames and the waveform, but the code."""
        source = [self.source_sha256, self.start_sec, self.num_frames, self.shown_px, self.reader]
        return [*source, self.fps, self.size_px, self.fit, self.rate_hz]


def clip_tasks(
    clips: "pd.DataFrame", clip: "ClipParams", rate_hz: int, reader: Literal["auto", "decord", "pyav"], raw: Path,
) -> Iterator[ClipTask]:
    """One task a clip, in the table's order.

    Args:
        clips: rows of `clips.parquet`.
        reader: "pyav" takes PyAV for every clip; otherwise the inventory's choice stands, as it knows where decord is wrong.
    """
    for row in clips.to_dict("records"):
        yield ClipTask(
            raw=raw, clip_id=row["clip_id"], source_path=row["source_path"], source_sha256=row["source_sha256"],
            class_id=int(row["class_id"]), class_name=row["class_name"], split=row["split"],
            start_sec=float(row["start_sec"]), num_frames=round(row["duration_sec"] * clip.fps),
            shown_px=(int(row["width_px"]), int(row["height_px"])), reader="pyav" if reader == "pyav" else row["reader"],
            fps=clip.fps, size_px=clip.frame_size_px, fit=clip.fit, rate_hz=rate_hz,
        )
