"""inventory -> all: `clips.parquet`, `rejected.parquet`; a clip is a contiguous stretch of a source."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from pipeline.contracts.tables import read_table, write_table

CLIPS_SCHEMA = pa.schema([
    ("clip_id", pa.string()),           # stable: 16 hex digits of the source's sha256, start in ms
    ("source_path", pa.string()),       # relative to data.raw, "/" between folders
    ("source_sha256", pa.string()),
    ("class_name", pa.string()),
    ("class_id", pa.int64()),           # place of class_name in the sorted list of classes
    ("split", pa.string()),             # "train" or "test", decided by the SOURCE
    ("start_sec", pa.float64()),        # in the source's presentation time, 0: first frame shown
    ("duration_sec", pa.float64()),     # both sound and picture last at least this long
    ("fps", pa.float64()),              # mean frame rate of the source
    ("width_px", pa.int64()),           # as shown (after rotation)
    ("height_px", pa.int64()),
    ("audio_rate_hz", pa.int64()),
    ("audio_channels", pa.int64()),
    ("reader", pa.string()),            # "decord" or "pyav": which reader is right for this file
    ("audio_offset_sec", pa.float64()), # first audio sample minus first shown frame; 0 when they start together
    ("caption", pa.string()),           # from inventory.labels; "" if none
])
"""One row a clip, sorted by clip_id."""

REJECTED_SCHEMA = pa.schema([
    ("source_path", pa.string()),
    ("reason", pa.string()),            # one of the closed list in stages/inventory/reasons.py
    ("detail", pa.string()),
])
"""One row a file that was left out, sorted by path."""


def write_clips(folder: Path, clips: list[dict[str, object]], rejected: list[dict[str, object]]) -> None:
    """Write both tables, sorted."""
    write_table(folder / "clips.parquet", sorted(clips, key=lambda row: str(row["clip_id"])), CLIPS_SCHEMA)
    write_table(folder / "rejected.parquet", sorted(rejected, key=lambda row: str(row["source_path"])), REJECTED_SCHEMA)


def read_clips(folder: Path) -> pd.DataFrame:
    """All clips, one row each, sorted by clip_id (columns: CLIPS_SCHEMA)."""
    return read_table(folder / "clips.parquet", CLIPS_SCHEMA)


def read_rejected(folder: Path) -> pd.DataFrame:
    """All rejected files (columns: REJECTED_SCHEMA)."""
    return read_table(folder / "rejected.parquet", REJECTED_SCHEMA)


def class_names(clips: pd.DataFrame) -> list[str]:
    """Class names by class_id."""
    return clips.drop_duplicates("class_id").sort_values("class_id")["class_name"].tolist()
