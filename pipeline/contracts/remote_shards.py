"""A stage's shards read from an address, without a copy on this disk: webdataset over fsspec, no shell in between.

    for sample in stream("https://host/decode", "train"): ...          # or s3://bucket/decode, or a folder
    for sample in stream("s3://bucket/latents", "train", part=rank, parts=world_size): ...

What comes is checked against the index that lies beside the shards: names, numbers and the hash of every field.
(webdataset's own reader of addresses starts `curl` in a shell, so it is not used; its reader of tars is.)
"""

import contextlib
import io
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import webdataset as wds

from pipeline.contracts.fields import decode_field, hash16
from pipeline.contracts.shards import INDEX
from pipeline.errors import DataError

ADDRESS = re.compile(r"(https?|s3|file)://[^\s|;`$]+|/[^\0]+")
NAME = re.compile(r"[\w.-]+\.tar")
CLIENTS = ("aiohttp", "botocore", "s3fs", "fsspec")
"""Packages whose errors mean that the other side could not be read."""
EXTRAS = {"s3": "s3fs", "http": "aiohttp", "https": "aiohttp"}


def stream(
    address: str, split: str | None = None, fields: Sequence[str] | None = None, *, part: int = 0, parts: int = 1,
    options: Mapping[str, Any] | None = None,
) -> Iterator[dict[str, Any]]:
    """The samples below an address, shard after shard, as `ShardReader` gives them.

    Args:
        address: of a finished stage's output: http(s)://, s3://, file:// or an absolute path.
        split: "train", "test", or None for both.
        fields: names with ending to give; None: all.
        part, parts: every `parts`-th shard, from the `part`-th on: one part for each process that shares the work.
        options: for fsspec, such as {"endpoint_url": ...} of an S3 server of one's own; credentials come from the environment.

    Raises:
        DataError: another kind of address, nobody answers, or what comes is damaged or not what the index says.
    """
    base = address.rstrip("/")
    if not ADDRESS.fullmatch(base):
        raise DataError(f"{address!r} is no address of shards, expected http://, https://, s3://, file:// or an absolute path")
    index = _read_index(base, options or {}, split)
    shards = sorted({str(row["shard"]) for row in index.values()})
    strange = next((name for name in shards if not NAME.fullmatch(name)), None)
    if strange is not None:
        raise DataError(f"{base}/{INDEX} names the shard {strange!r}, which is no plain name; the index is not one of this project's")
    for shard in shards[part::parts]:
        rows = {key: row for key, row in index.items() if row["shard"] == shard}
        with _opened(f"{base}/{shard}", options or {}) as file:
            for sample in _samples(file, f"{base}/{shard}"):
                yield _checked(sample, rows, fields, f"{base}/{shard}")
        if rows:
            raise DataError(f"{base}/{shard} ends without {len(rows)} of its samples; it is cut off: upload it again")


def _read_index(base: str, options: Mapping[str, Any], split: str | None) -> dict[str, dict[str, Any]]:
    """Rows by key."""
    with _opened(f"{base}/{INDEX}", options) as file:
        content = file.read()
    try:
        table = pq.read_table(io.BytesIO(content))
        return {row["key"]: row for row in table.to_pylist() if split in (None, row["split"])}
    except (pa.ArrowException, KeyError) as error:
        words = " ".join(str(error).split())[:80]
        raise DataError(f"{base}/{INDEX} is no index of shards ({words}); name the folder of a stage's output") from None


@contextlib.contextmanager
def _opened(url: str, options: Mapping[str, Any]) -> Iterator[BinaryIO]:
    """A file at an address, to be read from its beginning to its end."""
    import fsspec

    scheme = url.split("://")[0] if "://" in url else "file"
    try:
        with fsspec.open(url, "rb", **options) as file:
            yield file
    except DataError:
        raise
    except ImportError:
        raise DataError(f"{url} needs the package {EXTRAS[scheme]}; install it (for S3 the project's extra `s3`)") from None
    except FileNotFoundError:  # fsspec's word also for a server that does not answer
        raise DataError(f"{url} is not there, or nobody answers; check the address, or send the output there first") from None
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__.split(".")[0] not in CLIENTS:
            raise
        words = " ".join(str(error).split())[:80]
        raise DataError(f"{url} cannot be read ({type(error).__name__}: {words}); check the address and the connection, then run again") \
            from None


def _samples(file: BinaryIO, url: str) -> Iterator[dict[str, Any]]:
    try:
        yield from wds.tariterators.group_by_keys(wds.tariterators.tar_file_expander([{"url": url, "stream": file}]))
    except (tarfile.TarError, EOFError):
        raise DataError(f"{url} is damaged or cut off; upload it again") from None


def _checked(sample: Mapping[str, Any], rows: dict[str, dict[str, Any]], fields: Sequence[str] | None, url: str) -> dict[str, Any]:
    """A sample as `ShardReader` gives it; its row is taken out of `rows`."""
    key = str(sample["__key__"])
    row = rows.pop(key, None)
    if row is None:
        raise DataError(f"{url} holds {key!r}, which its index does not name; the two are not of one run: upload both again")
    values: dict[str, Any] = {"key": key}
    for column, digest in row.items():
        name = column.removesuffix("@hash")
        if name == column or digest is None:
            continue
        if hash16(sample.get(name, b"")) != digest:
            raise DataError(f"{url}: {key}.{name} has other bytes than its index says; it is damaged: upload it again")
        if fields is None or name in fields:
            values[name.rsplit(".", 1)[0]] = decode_field(name, sample[name])
    return values
