"""inventory -> whoever asks what the videos are like, and the inventory's own next run: `sources.parquet`.

One row a distinct content (sha256) of data.raw, sorted by sha256, with all that was measured by decoding it. A later run takes over the
rows whose `measured_by` is still its own, and decodes only what is new.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa

from pipeline.contracts.tables import read_table, write_table

TABLE = "sources.parquet"
SOURCES_SCHEMA = pa.schema([
    ("sha256", pa.string()),
    ("source_path", pa.string()),       # relative to data.raw; of several copies the first
    ("reason", pa.string()),            # "" or why this content can never be used (stages/inventory/reasons.py): what follows is null
    ("detail", pa.string()),
    ("group", pa.string()),             # sources of one group share their split; "" for one that is not used
    ("split", pa.string()),             # "train", "test", "" for one that is not used
    ("container", pa.string()),         # FFmpeg's name of the file format
    ("video_codec", pa.string()),
    ("audio_codec", pa.string()),
    ("frames", pa.int64()),             # shown
    ("hidden_frames", pa.int64()),      # in the file, but hidden by an edit list
    ("video_end_sec", pa.float64()),    # times count from the first shown frame
    ("audio_start_sec", pa.float64()),
    ("audio_end_sec", pa.float64()),
    ("width_px", pa.int64()),           # as shown: after rotation, with the pixel's shape applied
    ("height_px", pa.int64()),
    ("rotation_deg", pa.int64()),       # counter-clockwise, to stand upright: 0, 90, 180, 270
    ("size_changes", pa.bool_()),
    ("variable_rate", pa.bool_()),      # gaps between frames differ by more than rounding
    ("video_streams", pa.int64()),      # without cover images
    ("audio_streams", pa.int64()),
    ("audio_rate_hz", pa.int64()),
    ("audio_channels", pa.int64()),
    ("audio_layout", pa.string()),      # FFmpeg's name: mono, stereo, 5.1(side), ...
    ("audio_peak", pa.float64()),       # largest sample, full scale 1.0; float codecs go beyond
    ("audio_rms", pa.float64()),        # mean square over samples and channels, root
    ("reader", pa.string()),            # "decord" or "pyav": which reader is right for this file
    ("reader_because", pa.string()),    # why not decord; "" for decord
    ("measured_by", pa.string()),       # hash of the measuring code and its libraries (pipeline/contracts/recipe.py)
])


def write_sources(folder: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write the table, sorted."""
    write_table(folder / TABLE, sorted(rows, key=lambda row: str(row["sha256"])), SOURCES_SCHEMA)


def read_sources(folder: Path) -> pd.DataFrame:
    """All sources, sorted by sha256 (columns: SOURCES_SCHEMA)."""
    return read_table(folder / TABLE, SOURCES_SCHEMA)
