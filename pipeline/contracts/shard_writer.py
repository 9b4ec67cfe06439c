"""Samples into shards, such that new data costs its own size: finished work is taken over, whatever run made it.

What is made at once and known by one content address is a unit: the samples of one clip. A unit whose address is found in the
stage's last output, or in what a killed run left, is copied from there (checked by hash), or its whole shard linked. The
result is a function of the units alone: it equals, byte for byte, that of a run that began with nothing.

Where one shard ends and the next begins is decided by the names of the units (they begin with a hash), not by their
number: a unit more or less changes one shard, seldom two, and leaves the bytes of all the others as they were.
"""

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contracts.fields import Parts, encode_field, hash16
from pipeline.contracts.finished_units import FinishedUnits, is_undamaged, rows_of, sidecar
from pipeline.contracts.outputs import Work, atomic_path, hash_file
from pipeline.contracts.shards import INDEX, META, index_schema

Fields = Mapping[str, Any]
"""The members of a sample by name with ending: "frames.npy" (array), "gray.png" (bytes), "meta.json" (dict)."""
Task = TypeVar("Task")


@dataclass(frozen=True, slots=True)
class Unit(Generic[Task]):
    """The samples of one clip."""

    name: str
    """The clip_id: begins with 16 hexadecimal digits of a hash; the keys of the samples begin with it."""
    split: str
    num_bytes: int
    """About; decides where shards end, so it must be the same in every run."""
    address: bytes
    """16 bytes (recipe.address): of all that decides the samples but `meta`, their keys included."""
    meta: Mapping[str, object]
    """Fields of the samples' meta.json that are told, not computed (class, split): put in, also in what is taken over."""
    task: Task
    """What `make` needs."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Where the units came from."""

    made: int
    taken_over: int

    def summary(self) -> dict[str, object]:
        """For the closing line, when there is something to say."""
        return {"made": self.made, "taken over": self.taken_over} if self.taken_over else {}


def write_units(
    work: Work, units: Iterable[Unit[Task]], shard_bytes: int,
    make: Callable[[Iterator[Task]], Iterator[Sequence[tuple[str, Fields]]]], advance: Callable[[], None] = lambda: None,
) -> Tally:
    """Write `{split}-%06d.tar` and the index into `work.folder`.

    Args:
        work: from `stage_output(..., takes_over=True)` (without it, only this run's own unfinished work is taken up).
        units: in any order.
        shard_bytes: no shard is larger, unless one unit is.
        make: from tasks to the (key, fields) of each one's samples, in the order of the tasks; drawn from as shards are written.
        advance: called for every unit.
    """
    shards = plan_shards(units, shard_bytes)
    whole = _keep_whole(work.folder, shards)
    finished = FinishedUnits(work.earlier, work.hash_of)
    rest = [(name, members) for name, members in shards if name not in whole]
    for name, members in shards:
        for _ in members if name in whole else ():
            advance()
    made = make(unit.task for _, members in rest for unit in members if unit.address not in finished)
    num_made = 0
    for name, members in rest:
        linked = finished.whole_shard(members[0].split, [(unit.address, unit.meta) for unit in members])
        if linked is not None:
            _link(linked[0], linked[1], work.folder, name)
            for _ in members:
                advance()
            continue
        with _ShardFile(work, name) as shard:
            for unit in members:
                samples: Sequence[tuple[str, Fields]] | None = finished.samples(unit.address, unit.meta)
                if samples is None:
                    # What was found and is damaged is made after all.
                    samples = next(make(iter([unit.task]))) if unit.address in finished else next(made)
                    num_made += 1
                for key, fields in samples:
                    shard.write(key, unit, fields)
                advance()
    assert next(made, None) is None, "more was made than asked for"
    _write_index(work.folder)
    return Tally(num_made, sum(len(members) for _, members in shards) - num_made)


def plan_shards(units: Iterable[Unit[Task]], shard_bytes: int) -> list[tuple[str, list[Unit[Task]]]]:
    """Which units each shard holds, in order.

    The units of a split are parted by the bits of their names, one after the other, until each part is within `shard_bytes`. Parts of
    one source (the same 16 digits) are cut one after the other in time.
    """
    plan = []
    for split, members in groupby(sorted(units, key=lambda unit: (unit.split, unit.name)), key=lambda unit: unit.split):
        parts = _parted(list(members), shard_bytes, bit=63)
        plan += [(f"{split}-{number:06d}.tar", part) for number, part in enumerate(parts)]
    return plan


def _parted(units: list[Unit[Task]], shard_bytes: int, bit: int) -> list[list[Unit[Task]]]:
    """Units sorted by name, which agree in the bits above `bit`."""
    if sum(unit.num_bytes for unit in units) <= shard_bytes or len(units) < 2:
        return [units] if units else []
    if bit < 0:
        first, size = 1, units[0].num_bytes
        while first < len(units) and size + units[first].num_bytes <= shard_bytes:
            size += units[first].num_bytes
            first += 1
        return [units[:first], *_parted(units[first:], shard_bytes, bit)]
    ones = next((i for i, unit in enumerate(units) if int(unit.name[:16], 16) >> bit & 1), len(units))
    return _parted(units[:ones], shard_bytes, bit - 1) + _parted(units[ones:], shard_bytes, bit - 1)


class _HashedFile:
    """A file that is written once from its beginning to its end, and the hash of what has been written."""

    def __init__(self, file: io.FileIO) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def write(self, data: bytes | memoryview) -> None:
        self.digest.update(data)
        rest = memoryview(data)
        while rest:  # a raw file may take a part of it
            rest = rest[self.file.write(rest):]

    def tell(self) -> int:
        return self.file.tell()


class _ShardFile:
    """A shard being written: under its own name, and with its rows beside it, when it is whole."""

    def __init__(self, work: Work, name: str) -> None:
        self.folder, self.name, self.wrote = work.folder, name, work.wrote
        self.temporary = work.folder / f".{name}.tmp"
        self.stream = _HashedFile(self.temporary.open("wb", buffering=0))
        self.rows: list[dict[str, object]] = []

    def __enter__(self) -> "_ShardFile":
        return self

    def write(self, key: str, unit: Unit[Any], fields: Fields) -> None:
        assert key.startswith(unit.name) and "." not in key, (key, unit.name)
        told = {META: {**fields[META], **unit.meta}} if META in fields else {}
        encoded = {name: encode_field(name, value) for name, value in sorted({**fields, **told}.items())}
        row: dict[str, object] = {"key": key, "split": unit.split, "shard": self.name, "address": unit.address}
        for name, parts in encoded.items():
            size = sum(len(part) for part in parts)
            row.update({f"{name}@offset": self._write_member(f"{key}.{name}", size, parts), f"{name}@size": size,
                        f"{name}@hash": hash16(*parts)})
        self.rows.append(row)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self.stream.file:
            if kind is not None:
                return
            self._pad(tarfile.BLOCKSIZE, more=2 * tarfile.BLOCKSIZE)  # the end of an archive
            self._pad(tarfile.RECORDSIZE)
            os.fsync(self.stream.file.fileno())  # a name on the disk stands for bytes on the disk
        digest = self.stream.digest
        _write_rows(self.folder / sidecar(self.name), [{**row, "shard@sha256": digest.digest()} for row in self.rows])
        os.replace(self.temporary, self.folder / self.name)
        self.wrote(self.folder / self.name, digest.hexdigest())

    def _write_member(self, name: str, size: int, parts: Parts) -> int:
        """Where its bytes begin. webdataset.TarWriter leaves the same file in four times the time: it copies 10 KB at a time."""
        member = tarfile.TarInfo(name)
        # No time, no user of this machine: the same samples are the same bytes.
        member.size, member.mode, member.uname, member.gname = size, 0o644, "mmldm", "mmldm"
        self.stream.write(member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        begin = self.stream.tell()
        for part in parts:
            self.stream.write(part)
        self._pad(tarfile.BLOCKSIZE)
        return begin

    def _pad(self, to: int, more: int = 0) -> None:
        self.stream.write(bytes(-self.stream.tell() % to + more))


def _keep_whole(folder: Path, shards: list[tuple[str, list[Unit[Task]]]]) -> set[str]:
    """Names of the shards that a killed run of the same signature finished; all else in the folder is thrown away."""
    rows = rows_of(folder)
    whole = set()
    for name, members in shards:
        if name in rows:
            found = [address for address, _ in groupby(rows[name].column("address").to_pylist())]
            if found == [unit.address for unit in members] and is_undamaged(folder / name, rows[name], hash_file):
                whole.add(name)
                _write_rows(folder / sidecar(name), rows[name].to_pylist())  # where a run was killed while it removed them
    for path in (*folder.glob(".*.tmp"), *folder.glob(".*.rows"), *folder.glob("*.tar"), *folder.glob(INDEX)):
        if path.name not in whole and path.name not in {sidecar(name) for name in whole}:
            path.unlink()
    return whole


def _link(source: Path, rows: pa.Table, folder: Path, name: str) -> None:
    rows = rows.set_column(rows.schema.get_field_index("shard"), "shard", pa.array([name] * len(rows)))
    _write_rows(folder / sidecar(name), rows.to_pylist())
    with suppress(FileNotFoundError):
        (folder / name).unlink()
    try:
        os.link(source.resolve(), folder / name)
    except OSError:  # a file system without hard links
        temporary = folder / f".{name}.tmp"
        shutil.copyfile(source, temporary)
        os.replace(temporary, folder / name)


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    filled = [{name: value for name, value in row.items() if value is not None} for row in rows]
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(filled, schema=index_schema(filled)), temporary)


def _write_index(folder: Path) -> None:
    """The rows of all shards in one table, sorted by key."""
    parts = [pq.read_table(path) for path in sorted(folder.glob(".*.rows"))]
    table = pa.concat_tables(parts, promote_options="default").sort_by("key") if parts else pa.Table.from_pylist([], index_schema([]))
    with atomic_path(folder / INDEX) as temporary:
        pq.write_table(table, temporary)
    for path in folder.glob(".*.rows"):
        path.unlink()
