"""Finished units of other runs of a stage, found by their content address (shard_writer.py says what a unit is)."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.contracts.fields import encode_field, hash16
from pipeline.contracts.shards import INDEX, META


class FinishedUnits:
    """What the folders hold, by address; bytes are checked against their hashes before they are handed out."""

    def __init__(self, folders: Iterable[Path], hash_of: Callable[[Path], str]) -> None:
        """Args:
            folders: outputs, whole or left by a killed run; those that hold no shards are passed over.
            hash_of: sha256 of a shard's bytes, hexadecimal.
        """
        self._hash_of = hash_of
        self._shards: dict[Path, pa.Table] = {}
        self._places: dict[bytes, tuple[Path, int, int]] = {}  # address: shard, first row, one after the last
        for folder in folders:
            for name, rows in rows_of(folder).items():
                path, first = folder / name, 0
                self._shards[path] = rows
                for address, same in groupby(rows.column("address").to_pylist()):
                    end = first + sum(1 for _ in same)
                    self._places.setdefault(address, (path, first, end))
                    first = end

    def __contains__(self, address: bytes) -> bool:
        return address in self._places

    def samples(self, address: bytes, meta: Mapping[str, object]) -> list[tuple[str, dict[str, Any]]] | None:
        """(key, fields) of a unit's samples, with `meta` put into their meta.json; None: unknown, or damaged since."""
        if address not in self._places:
            return None
        path, first, end = self._places[address]
        rows = self._shards[path].slice(first, end - first)
        found = []
        try:
            file = os.open(path, os.O_RDONLY)
        except OSError:
            return None
        try:
            for row in rows.to_pylist():
                fields = _checked(file, row)
                if fields is None:
                    return None
                if META in fields:
                    fields[META] = {**json.loads(fields[META]), **meta}
                found.append((row["key"], fields))
        finally:
            os.close(file)
        return found

    def whole_shard(self, split: str, units: Sequence[tuple[bytes, Mapping[str, object]]]) -> tuple[Path, pa.Table] | None:
        """A shard (and its rows) that holds just these units in this order, with these meta, undamaged; None if there is none."""
        places = [self._places.get(address) for address, _ in units]
        if not places or places[0] is None:
            return None
        path, rows = places[0][0], self._shards[places[0][0]]
        end = 0
        for place in places:
            if place is None or place[:2] != (path, end):
                return None
            end = place[2]
        if end != len(rows) or set(rows.column("split").to_pylist()) != {split} or not is_undamaged(path, rows, self._hash_of):
            return None
        with path.open("rb") as file:
            for place, (_, meta) in zip(places, units, strict=True):
                assert place is not None
                if not all(_says(file.fileno(), row, meta) for row in rows.slice(place[1], place[2] - place[1]).to_pylist()):
                    return None
        return path, rows


def rows_of(folder: Path) -> dict[str, pa.Table]:
    """The index's rows by shard, of the shards that are there: of a whole output, or of a killed run's beginning.

    Tables that cannot be read, or that are not of this version, are passed over.
    """
    tables = [table for path in (*sorted(folder.glob(".*.rows")), folder / INDEX) if (table := _table(path)) is not None]
    rows: dict[str, pa.Table] = {}
    for table in tables:
        # Sorted by shard, in the order of the bytes in each: the order in which the shard was written.
        offset = next((name for name in table.column_names if name.endswith("@offset")), "")
        for name in pc.unique(table.column("shard")).to_pylist():
            if name not in rows and (folder / name).is_file():
                own = table.filter(pc.equal(table.column("shard"), name))
                rows[name] = own.sort_by(offset)
    return rows


def is_undamaged(shard: Path, rows: pa.Table, hash_of: Callable[[Path], str]) -> bool:
    """Whether the shard's bytes are those that were written."""
    try:
        return hash_of(shard) == rows.column("shard@sha256")[0].as_py().hex()
    except OSError:
        return False


def sidecar(shard: str) -> str:
    """Name of the file with a whole shard's rows, until all shards are whole."""
    return f".{shard}.rows"


def _table(path: Path) -> pa.Table | None:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid):
        return None
    return table if {"shard", "shard@sha256", "address"} <= set(table.column_names) else None


def _says(file: int, row: Mapping[str, Any], meta: Mapping[str, object]) -> bool:
    """Whether a sample's meta.json holds what is told of it."""
    if row.get(f"{META}@size") is None:
        return True
    found = json.loads(os.pread(file, row[f"{META}@size"], row[f"{META}@offset"]))
    return encode_field(META, {**found, **meta}) == encode_field(META, found)


def _checked(file: int, row: Mapping[str, Any]) -> dict[str, Any] | None:
    fields: dict[str, Any] = {}
    for column, digest in row.items():
        if column.endswith("@hash") and digest is not None:
            name = column.removesuffix("@hash")
            data = os.pread(file, row[f"{name}@size"], row[f"{name}@offset"])
            if hash16(data) != digest:
                return None
            fields[name] = data
    return fields
