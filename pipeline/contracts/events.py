"""demo_data -> evaluate: `events.parquet`, the true times at which the demo's sound and picture meet. Empty for a user's data."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from pipeline.contracts.tables import read_table, write_table

EVENTS_SCHEMA = pa.schema([
    ("source_path", pa.string()),  # relative to data.raw: "bounce/bounce_0007.mp4"
    ("kind", pa.string()),
    ("time_sec", pa.float64()),    # in the source's presentation time
])
TABLE = "events.parquet"


def write_events(folder: Path, rows: list[dict[str, object]]) -> None:
    """Write the table, sorted by source and time."""
    write_table(folder / TABLE, sorted(rows, key=lambda row: (str(row["source_path"]), float(str(row["time_sec"])))), EVENTS_SCHEMA)


def read_events(folder: Path) -> pd.DataFrame:
    """All events (columns: EVENTS_SCHEMA)."""
    return read_table(folder / TABLE, EVENTS_SCHEMA)
