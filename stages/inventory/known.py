"""Work that need not be done again: done by the last run, or by one that was killed, with the code of this one.

What is done is written down at once, a JSON line each, so that a kill costs what is in the workers' hands. A line is a function of
contents and code, so it is taken over from whatever run wrote it.
"""

import json
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.contracts.outputs import Work

MADE_BY = "made_by"
Item = TypeVar("Item")


class Known(Generic[Item]):
    """Items by key; those that are added are kept on disk. A context."""

    def __init__(
        self, work: Work, table: str, schema: pa.Schema, made_by: str, *,
        parse: Callable[[dict[str, Any]], Item], row: Callable[[Item], dict[str, Any]], key: Callable[[Item], Hashable],
    ) -> None:
        """Args:
            work: from `stage_output(..., takes_over=True)`.
            table: file of earlier outputs that holds the items, a row each, with a column `made_by`.
            schema: its columns.
            made_by: recipe of the items; what was made by another one is not known.
            parse: from a row to the item.
            row: the opposite; may leave out columns that `parse` does not need.
            key: by which items are asked for.
        """
        self._made_by, self._row, self._key = made_by, row, key
        self._items: dict[Hashable, Item] = {}
        binary = [field.name for field in schema if pa.types.is_binary(field.type)]
        journal = work.scratch / f"{table}.jsonl"
        for folder in (*work.earlier, work.scratch):
            rows = (*_table_rows(folder / table, made_by), *_journal_rows(folder / journal.name, made_by, binary))
            for item in map(parse, rows):
                self._items.setdefault(key(item), item)
        torn = journal.exists() and journal.read_bytes()[-1:] not in (b"", b"\n")
        self._journal = journal.open("a", encoding="utf-8")
        if torn:
            self._journal.write("\n")

    def __enter__(self) -> "Known[Item]":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._journal.close()

    def get(self, key: Hashable) -> Item | None:
        """The item, None if it has to be made."""
        return self._items.get(key)

    def add(self, item: Item) -> None:
        """Keep an item, on disk when this returns."""
        self._items[self._key(item)] = item
        row = {name: value.hex() if isinstance(value, bytes) else value for name, value in self._row(item).items()}
        self._journal.write(json.dumps({**row, MADE_BY: self._made_by}) + "\n")
        self._journal.flush()


def _table_rows(path: Path, made_by: str) -> list[dict[str, Any]]:
    """Rows of an earlier output; none of one that is absent, damaged, or of another version."""
    try:
        table = pq.read_table(path)
        return table.filter(pc.equal(table.column(MADE_BY), made_by)).to_pylist()
    except (OSError, KeyError, pa.ArrowException):
        return []


def _journal_rows(path: Path, made_by: str, binary: list[str]) -> Iterator[dict[str, Any]]:
    """Lines of a killed run; the last one may be torn."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and row.get(MADE_BY) == made_by:
            yield row | {name: bytes.fromhex(row[name]) for name in binary if row.get(name) is not None}
