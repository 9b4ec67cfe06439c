"""Webdataset shards: `{split}-%06d.tar` with fixed tar metadata, and `index.parquet` for random access.

One sample is the members `<key>.<field>`; a field's ending is its type: `.npy` (NumPy array), `.png`, `.json`.
Every tar is readable by `webdataset.WebDataset`; the index says where each member's bytes lie, so that training
can draw any sample with one read and needs no shuffle buffer (the batch of a step is a function of seed and step).
"""

import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contracts.fields import decode_field
from pipeline.contracts.outputs import require_whole
from pipeline.errors import DataError

INDEX = "index.parquet"
META = "meta.json"
"""The field that says what a sample is; every sample of this project has one."""


class ShardReader:
    """Random access to the samples of one split (or of all), in the order written.

    `reader[i]` is `{"key": str, <field without ending>: value}`; arrays are NumPy, PNGs bytes, JSON a dict.
    """

    def __init__(self, folder: Path, split: str | None = None, fields: Sequence[str] | None = None, *, whole: bool = True) -> None:
        """Args:
            folder: a finished stage's output.
            split: "train", "test", or None for both.
            fields: names with ending to read; None: all.
            whole: False: the stage that writes `folder` reads back its own shards.
        """
        self.folder = require_whole(folder) if whole else folder
        every = [name.removesuffix("@offset") for name in pq.read_schema(folder / INDEX).names if name.endswith("@offset")]
        self.fields = every if fields is None else list(fields)
        for name in self.fields:
            if name not in every:
                raise DataError(f"{folder} has no field {name}, it has: {', '.join(every)}; run: dvc repro {folder.name}")
        places = [f"{name}@{what}" for name in self.fields for what in ("offset", "size")]
        index = pd.read_parquet(folder / INDEX, columns=["key", "split", "shard", *places])
        self.table = (index if split is None else index[index["split"] == split]).reset_index(drop=True)
        self._files: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.table)

    @property
    def keys(self) -> list[str]:
        """Keys in order."""
        return self.table["key"].tolist()

    def __getitem__(self, i: int) -> dict[str, Any]:
        row = self.table.iloc[i]
        file = self._file(row["shard"])
        sample: dict[str, Any] = {"key": row["key"]}
        for name in self.fields:
            data = os.pread(file, int(row[f"{name}@size"]), int(row[f"{name}@offset"]))
            sample[name.rsplit(".", 1)[0]] = decode_field(name, data)
        return sample

    def shape(self, i: int, field: str) -> tuple[int, ...]:
        """Of an array, from its header alone."""
        row = self.table.iloc[i]
        header = io.BytesIO(os.pread(self._file(row["shard"]), 256, int(row[f"{field}@offset"])))
        assert np.lib.format.read_magic(header) == (1, 0)
        return np.lib.format.read_array_header_1_0(header)[0]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(len(self)))

    def _file(self, shard: str) -> int:
        if shard not in self._files:
            if Path(shard).name != shard:  # an index from elsewhere may say anything
                raise DataError(f"{self.folder / INDEX} names the shard {shard!r}, which is no plain name; run: dvc repro "
                                f"{self.folder.name} --force")
            try:
                self._files[shard] = os.open(self.folder / shard, os.O_RDONLY)
            except FileNotFoundError:
                raise DataError(f"{self.folder / shard} is missing though the index names it; "
                                f"run: dvc repro {self.folder.name} --force") from None
        return self._files[shard]

    def __del__(self) -> None:
        for file in getattr(self, "_files", {}).values():
            os.close(file)


def read_hashes(folder: Path, field: str) -> dict[str, str]:
    """By key, the hash (hexadecimal) of one field's bytes: what a later stage knows its input by."""
    table = pq.read_table(require_whole(folder) / INDEX, columns=["key", f"{field}@hash"])
    return {key: digest.hex() for key, digest in zip(*(column.to_pylist() for column in table.columns), strict=True)}


def index_schema(rows: Iterable[Mapping[str, object]]) -> pa.Schema:
    """Columns of the index: key, split, shard and the hash of its bytes, address (shard_writer.py), and for each field where its bytes
    lie, and their hash."""
    fields = sorted({name.removesuffix("@offset") for row in rows for name in row if name.endswith("@offset")})
    columns = [("key", pa.string()), ("split", pa.string()), ("shard", pa.string()), ("shard@sha256", pa.binary(32)),
               ("address", pa.binary(16))]
    for name in fields:
        columns += [(f"{name}@offset", pa.int64()), (f"{name}@size", pa.int64()), (f"{name}@hash", pa.binary(16))]
    return pa.schema(columns)
