"""`inventory.labels`: the user's table of path, class, split and caption, read and checked.

Only its text is used: a path of the table is compared with the files that were found in data.raw, never opened.
"""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import DataError

COLUMNS = ("path", "class", "split", "caption")
SPLITS = ("train", "test")
MEND = "mend the file, or set inventory.labels in params.yaml"


@dataclass(frozen=True, slots=True)
class Label:
    """What the table says of one file; "" where it says nothing."""

    class_name: str = ""
    split: str = ""
    caption: str = ""
    place: str = ""
    """"line 7" of a .csv, "row 6" of a .parquet."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The whole table."""

    name: str
    """The file, relative to data.raw."""
    names_classes: bool
    """Whether it has a column `class`; then a file without a row has no class."""
    by_path: Mapping[str, Label]
    """Path relative to data.raw -> label."""
    outside: Mapping[str, Label]
    """Rows whose path leads out of data.raw: absolute, or with "..", as written."""


def read_labels(raw: Path, name: str) -> Labels:
    """Read the table `raw/name`.

    Raises:
        DataError: in one line with file and line: absent, unreadable, of another encoding or form, without a column `path`, without
            rows, or with a cell that means nothing.
    """
    file = raw / name
    if not file.is_file():
        raise DataError(f'inventory.labels is "{name}", but {file} is not there; put the table into data.raw, or set inventory.labels')
    try:
        columns, rows = _parquet_rows(file) if file.suffix.lower() == ".parquet" else _csv_rows(file)
        by_path: dict[str, Label] = {}
        outside: dict[str, Label] = {}
        for place, cells in rows:
            path, label = _checked(file, place, cells)
            inside = not path.startswith("/") and ".." not in path.split("/")
            known = (by_path if inside else outside).setdefault(path, label)
            if (known.class_name, known.split, known.caption) != (label.class_name, label.split, label.caption):
                raise DataError(f"{file} says two things of {path}, in {known.place} and {label.place}; {MEND}")
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}); {MEND}") from None
    if not by_path and not outside:
        raise DataError(f"{file} has no rows, expected one for each file; {MEND}")
    return Labels(name, "class" in columns, by_path, outside)


def _checked(file: Path, place: str, cells: Mapping[str, str]) -> tuple[str, Label]:
    """(normal path, label) of one row."""
    cell = cells["path"]
    if not cell or "\0" in cell:
        raise DataError(f"{file}, {place}: no path, expected one relative to data.raw; {MEND}")
    # "./a//b.mp4" is "a/b.mp4"; ".." stays, to be refused.
    path = str(PurePosixPath(cell))
    split = cells["split"].lower()
    if split not in ("", *SPLITS):
        raise DataError(f'{file}, {place}: split is "{cells["split"]}", expected {", ".join(SPLITS)} or nothing; {MEND}')
    if not all(character.isprintable() for character in cells["class"]):
        raise DataError(f"{file}, {place}: class {cells['class']!r} holds a line break or another sign that cannot be shown; {MEND}")
    return path, Label(cells["class"], split, cells["caption"], place)


def _csv_rows(file: Path) -> tuple[tuple[str, ...], Iterator[tuple[str, dict[str, str]]]]:
    content = file.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{file}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8; save the table as UTF-8") from None
    header = text.lstrip("\r\n").partition("\n")[0]
    # Spreadsheets of many countries write semicolons.
    delimiter = next((sign for sign in ",;\t" if "path" in _names(header.split(sign))), ",")
    lines = _csv_lines(file, text, delimiter)
    _, first = next(lines, ("", []))
    columns = _require_columns(file, _names(first))

    def rows() -> Iterator[tuple[str, dict[str, str]]]:
        for place, line in lines:
            if len(line) != len(first):
                raise DataError(f"{file}, {place}: {len(line)} cells, the first line has {len(first)}; {MEND} "
                                "(a text that holds the separator goes into quotes)")
            yield place, {name: line[columns[name]].strip() if name in columns else "" for name in COLUMNS}

    return tuple(columns), rows()


def _csv_lines(file: Path, text: str, delimiter: str) -> Iterator[tuple[str, list[str]]]:
    """(place, cells) of every line that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begin = 1
    try:
        for line in reader:
            if any(cell.strip() for cell in line):
                yield f"line {begin}", line
            begin = reader.line_num + 1
    except csv.Error as error:  # a quote that is never closed would swallow all rows after it
        raise DataError(f"{file}, line {begin}: {error}; {MEND}") from None


def _parquet_rows(file: Path) -> tuple[tuple[str, ...], Iterator[tuple[str, dict[str, str]]]]:
    try:
        names = pq.read_schema(file).names
        columns = _require_columns(file, _names(names))
        table = pq.read_table(file, columns=[names[place] for place in columns.values()])
    except pa.ArrowException as error:
        raise DataError(f"{file} is not a parquet table ({' '.join(str(error).split())[:120]}); {MEND}") from None

    def rows() -> Iterator[tuple[str, dict[str, str]]]:
        for i, row in enumerate(table.rename_columns(list(columns)).to_pylist()):
            yield f"row {i}", {name: _as_text(row.get(name)) for name in COLUMNS}

    return tuple(columns), rows()


def _as_text(value: object) -> str:
    """A cell of a parquet table; pandas writes nothing as None or NaN."""
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value).strip()


def _names(header: Iterable[str]) -> list[str]:
    return [name.strip().strip('"').lower() for name in header]


def _require_columns(file: Path, names: list[str]) -> dict[str, int]:
    """Place of each column that is known, in the order of COLUMNS; other columns are the user's own."""
    if not any(names):
        raise DataError(f"{file} is empty, expected the columns {', '.join(COLUMNS)}; {MEND}")
    if "path" not in names:
        raise DataError(f"{file} has the columns {', '.join(names)[:200]!r}, expected path and any of class, split, caption; {MEND}")
    twice = [name for name in COLUMNS if names.count(name) > 1]
    if twice:
        raise DataError(f"{file} has the column {twice[0]} twice; {MEND}")
    return {name: names.index(name) for name in COLUMNS if name in names}
