"""Webdataset shards: `{split}-%06d.tar` with fixed tar metadata, and `index.parquet` for random access.

One sample is the members `<key>.<field>`; a field's ending is its type: `.npy` (NumPy array), `.png`, `.json`.
Every tar is readable by `webdataset.WebDataset`; the index says where each member's bytes lie, so that training
can draw any sample with one read and needs no shuffle buffer (the batch of a step is a function of seed and step).
"""

import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
import webdataset as wds

from pipeline.contracts.outputs import require_whole
from pipeline.errors import DataError

INDEX = "index.parquet"


class ShardWriter:
    """Writes samples in the order given into shards of about `shard_bytes`, one series per split.

    Use as a context manager; a shard appears under its final name when it is whole.
    """

    def __init__(self, folder: Path, shard_bytes: int, keep_whole: bool = False) -> None:
        """Args:
            folder: where the shards go.
            shard_bytes: size at which a new shard is begun.
            keep_whole: whole shards of a killed run stay, `kept` names their samples; only for samples that come in the order
                of their keys, so that those left to write go on where the last whole shard of their split ended.
        """
        self.folder, self.shard_bytes, self.keep_whole = folder, shard_bytes, keep_whole
        self.kept: set[str] = set()
        self._open: dict[str, tuple[wds.TarWriter, Any, Path]] = {}
        self._count: dict[str, int] = {}
        self._rows: list[dict[str, object]] = []

    def __enter__(self) -> "ShardWriter":
        for leftover in (*self.folder.glob(".*.tmp"), *(() if self.keep_whole else self.folder.glob("*.tar"))):
            leftover.unlink()
        for shard in sorted(self.folder.glob("*.tar")):
            self._keep(shard)
        return self

    def write(self, split: str, key: str, fields: Mapping[str, np.ndarray | bytes | dict[str, Any]]) -> None:
        """Add one sample.

        Args:
            split: "train" or "test".
            key: unique name without a dot.
            fields: by name with ending: "frames.npy" (array), "gray.png" (bytes), "meta.json" (dict).
        """
        if split not in self._open:
            self._begin(split)
        writer, stream, path = self._open[split]
        encoded = {name: _encode(name, value) for name, value in sorted(fields.items())}
        writer.write({"__key__": key, **encoded})
        self._rows.append({"key": key, "split": split, "shard": path.name})
        if stream.tell() >= self.shard_bytes:
            self._end(split)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            for writer, stream, _ in self._open.values():  # an unfinished shard keeps its temporary name
                writer.close()
                stream.close()
            return
        for split in sorted(self._open):
            self._end(split)
        if self.keep_whole:
            self._rows.sort(key=lambda row: str(row["key"]))
        _index(self.folder, self._rows).to_parquet(self.folder / INDEX, index=False)

    def _keep(self, shard: Path) -> None:
        split = shard.name.rsplit("-", 1)[0]
        with tarfile.open(shard) as tar:
            keys = dict.fromkeys(member.name.split(".", 1)[0] for member in tar)
        self._rows += [{"key": key, "split": split, "shard": shard.name} for key in keys]
        self._count[split] = self._count.get(split, 0) + 1
        self.kept.update(keys)

    def _begin(self, split: str) -> None:
        path = self.folder / f"{split}-{self._count.get(split, 0):06d}.tar"
        self._count[split] = self._count.get(split, 0) + 1
        stream = (self.folder / f".{path.name}.tmp").open("wb")
        self._open[split] = (wds.TarWriter(stream, user="mmldm", group="mmldm", mode=0o644, mtime=0.0, encoder=False), stream, path)

    def _end(self, split: str) -> None:
        writer, stream, path = self._open.pop(split)
        writer.close()
        stream.close()
        os.replace(self.folder / f".{path.name}.tmp", path)


class ShardReader:
    """Random access to the samples of one split (or of all), in the order written.

    `reader[i]` is `{"key": str, <field without ending>: value}`; arrays are NumPy, PNGs bytes, JSON a dict.
    """

    def __init__(self, folder: Path, split: str | None = None, fields: Sequence[str] | None = None) -> None:
        """Args:
            folder: a finished stage's output.
            split: "train", "test", or None for both.
            fields: names with ending to read; None: all.
        """
        require_whole(folder)
        self.folder = folder
        index = pd.read_parquet(folder / INDEX)
        self.table = (index if split is None else index[index["split"] == split]).reset_index(drop=True)
        every = [name.removesuffix("@offset") for name in index.columns if name.endswith("@offset")]
        self.fields = every if fields is None else list(fields)
        for name in self.fields:
            if name not in every:
                raise DataError(f"{folder} has no field {name}, it has: {', '.join(every)}; run: dvc repro {folder.name}")
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
            sample[name.rsplit(".", 1)[0]] = _decode(name, data)
        return sample

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(len(self)))

    def _file(self, shard: str) -> int:
        if shard not in self._files:
            try:
                self._files[shard] = os.open(self.folder / shard, os.O_RDONLY)
            except FileNotFoundError:
                raise DataError(f"{self.folder / shard} is missing though the index names it; "
                                f"run: dvc repro {self.folder.name} --force") from None
        return self._files[shard]

    def __del__(self) -> None:
        for file in getattr(self, "_files", {}).values():
            os.close(file)


def _index(folder: Path, rows: list[dict[str, object]]) -> pd.DataFrame:
    """Where each field of each sample lies: columns key, split, shard, `<field>@offset`, `<field>@size` (bytes)."""
    places: dict[str, dict[str, int]] = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, field = member.name.split(".", 1)
                places.setdefault(key, {}).update({f"{field}@offset": member.offset_data, f"{field}@size": member.size})
    frame = pd.DataFrame([{**row, **places[str(row["key"])]} for row in rows])
    return frame if rows else pd.DataFrame({"key": [], "split": [], "shard": []})


def _encode(name: str, value: Any) -> bytes:
    if name.endswith(".npy"):
        stream = io.BytesIO()
        np.save(stream, np.ascontiguousarray(value), allow_pickle=False)
        return stream.getvalue()
    if name.endswith(".json"):
        return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
    return bytes(value)


def _decode(name: str, data: bytes) -> Any:
    if name.endswith(".npy"):
        return np.load(io.BytesIO(data), allow_pickle=False)
    return json.loads(data) if name.endswith(".json") else data
