"""evaluate -> report, tables, promotion: `metrics.parquet`, a row a figure with all that it depends on, and `metrics.json` for DVC.

A figure is known by (protocol, task, name). One that could not be computed has a row too: no value, and in `not_computed` what
it needs and how to get it. `metrics.json` is flat and holds numbers alone: "<protocol>/<task>/<name>", and beside it the same with
`_floor`, `_low`, `_high`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from pipeline.contracts.outputs import require_whole, write_text
from pipeline.contracts.tables import read_table, write_table

METRICS_SCHEMA = pa.schema([
    ("protocol", pa.string()),       # file name in stages/evaluate/protocols
    ("task", pa.string()),           # svg, a2v, ..., reconstruction, or real (held-out clips measured in the same way)
    ("name", pa.string()),           # with the extractor at its end: fvd_local, fad_vggish
    ("value", pa.float64()),         # null: not computed
    ("low", pa.float64()),           # 95% interval, null when it has none
    ("high", pa.float64()),
    ("floor", pa.float64()),         # what to read the value against, null when there is none
    ("floor_kind", pa.string()),     # what the floor is
    ("extractor", pa.string()),      # "" for figures of pixels and samples
    ("version", pa.string()),        # of the extractor's input and network as written here
    ("weights", pa.string()),        # sha256 of its weights
    ("input", pa.string()),          # the way of the picture or the sound into it
    ("reference", pa.string()),      # what the samples were compared with
    ("num_samples", pa.int64()),
    ("num_reference", pa.int64()),
    ("resolution_px", pa.int64()),   # side of the compared frames before the extractor; 0 for sound
    ("resize", pa.string()),         # how they came to that size from the size of the clips
    ("fps", pa.int64()),
    ("num_frames", pa.int64()),
    ("valid", pa.bool_()),           # false: it cannot mean here what it means elsewhere, `note` says why
    ("note", pa.string()),           # what a reader must know: fewer samples than the protocol's, a covariance without full rank, ...
    ("not_computed", pa.string()),   # "" or "needs X; get it by Y"
])
TABLE, FLAT = "metrics.parquet", "metrics.json"
NUMBERS = ("value", "floor", "low", "high")


def write_metrics(folder: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write both files; every row has all columns, missing numbers are None."""
    write_table(folder / TABLE, rows, METRICS_SCHEMA)
    flat: dict[str, float] = {}
    for row in rows:
        if row["value"] is not None:
            key = f"{row['protocol']}/{row['task']}/{row['name']}"
            for number in NUMBERS:
                value = row[number]
                if isinstance(value, float) and math.isfinite(value):
                    flat[key if number == "value" else f"{key}_{number}"] = value
    write_text(folder / FLAT, json.dumps(flat, indent=1, sort_keys=True) + "\n")


def read_metrics(folder: Path) -> pd.DataFrame:
    """The table of a finished evaluate stage (columns: METRICS_SCHEMA), figures that were not computed among it.

    Raises:
        DataError: the stage is not finished, or an older version wrote it.
    """
    return read_table(require_whole(folder) / TABLE, METRICS_SCHEMA)


def metrics_rows(folder: Path) -> list[dict[str, Any]]:
    """The same, row by row; numbers that are not there are None."""
    table = read_metrics(folder).astype(object)
    return [{str(name): value for name, value in row.items()} for row in table.where(table.notna(), None).to_dict("records")]
