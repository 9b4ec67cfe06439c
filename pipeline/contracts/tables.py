"""Parquet tables with an explicit schema: columns checked on both sides, same rows same bytes."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contracts.outputs import atomic_path
from pipeline.errors import DataError


def write_table(path: Path, rows: Iterable[Mapping[str, object]], schema: pa.Schema) -> None:
    """Write rows under `schema`; a missing or surplus column is an error of ours and raises KeyError."""
    records = [dict(row) for row in rows]
    for row in records:
        if set(row) != set(schema.names):
            raise KeyError(f"{path.name}: columns {set(row) ^ set(schema.names)} differ from the schema")
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(records, schema=schema), temporary)


def read_table(path: Path, schema: pa.Schema) -> pd.DataFrame:
    """Read a table written by `write_table`.

    Raises:
        DataError: absent, or of other columns (written by an older version).
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; run: dvc repro {path.parent.name}")
    table = pq.read_table(path)
    if table.schema.names != schema.names:
        raise DataError(f"{path} has columns {table.schema.names}, expected {schema.names}; run: dvc repro {path.parent.name} --force")
    return table.to_pandas()
