"""evaluate -> report: `neighbours.parquet`, the training window nearest to each sample and to each held-out real window."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from pipeline.contracts.outputs import require_whole
from pipeline.contracts.tables import read_table, write_table

NEIGHBOURS_SCHEMA = pa.schema([
    ("protocol", pa.string()),
    ("task", pa.string()),           # of the sample; "real": held-out windows, which set the limit
    ("space", pa.string()),          # in what it was looked for: pixels, video_local, audio_local, ...
    ("name", pa.string()),           # sample_id, or the window_key of a held-out window
    ("nearest", pa.string()),        # window_key of the training window
    ("distance", pa.float64()),      # gray levels (root of the mean square) in pixels, feature units elsewhere
    ("ratio", pa.float64()),         # the distance over that to the next sources
    ("limit", pa.float64()),         # flagged below it
    ("flagged", pa.bool_()),
])
TABLE = "neighbours.parquet"


def write_neighbours(folder: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write the table, rows in the order given."""
    write_table(folder / TABLE, rows, NEIGHBOURS_SCHEMA)


def read_neighbours(folder: Path) -> pd.DataFrame:
    """The table of a finished evaluate stage (columns: NEIGHBOURS_SCHEMA)."""
    return read_table(require_whole(folder) / TABLE, NEIGHBOURS_SCHEMA)
