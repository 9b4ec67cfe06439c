"""Shards read over http and s3 on loopback: pytest tests/pipeline/contracts/test_remote_shards.py"""

import functools
import http.server
import io
import shutil
import socket
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.contracts.outputs import stage_output
from pipeline.contracts.remote_shards import stream
from pipeline.contracts.shards import META, ShardReader
from pipeline.errors import DataError
from tests.shards import write_shards


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve samples, four of them held out, in several shards."""
    out = tmp_path_factory.mktemp("shards") / "decode"
    with stage_output(out, params={}, inputs={}, code=out.parent) as work:
        write_shards(work, [(f"{i * 0x1111111111111111:016x}_000000", {
            "frames.npy": np.full((2, 4, 4, 3), i, np.uint8), META: {"split": "test" if i % 3 == 0 else "train", "number": i}})
            for i in range(12)], shard_bytes=2500)
    return out


@pytest.fixture(scope="module")
def web(folder: Path) -> Iterator[str]:
    """A plain web server of this machine that gives no ranges."""
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder.parent)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def assert_same(streamed: Iterator[dict], folder: Path, split: str | None) -> None:
    expected = {sample["key"]: sample for sample in ShardReader(folder, split)}
    found = {sample["key"]: sample for sample in streamed}
    assert sorted(found) == sorted(expected) and found
    for key, sample in found.items():
        assert sample["meta"] == expected[key]["meta"]
        np.testing.assert_array_equal(sample["frames"], expected[key]["frames"])


@pytest.mark.parametrize("split", ["train", "test", None])
def test_over_http_the_samples_are_those_of_the_folder(split: str | None, folder: Path, web: str) -> None:
    assert_same(stream(f"{web}/decode", split), folder, split)
    assert_same(stream(str(folder), split), folder, split)


def test_processes_share_the_shards(folder: Path, web: str) -> None:
    shares = [[sample["key"] for sample in stream(f"{web}/decode", fields=[META], part=part, parts=2)] for part in range(2)]
    assert all(shares) and sorted([*shares[0], *shares[1]]) == sorted(ShardReader(folder).keys)


def test_over_s3(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    for name, value in (("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(name, value)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        import fsspec

        host, port = server.get_host_and_port()
        options = {"endpoint_url": f"http://{host}:{port}"}
        remote = fsspec.filesystem("s3", **options)
        remote.mkdir("bucket")
        remote.put(str(folder), "bucket/decode", recursive=True)
        assert_same(stream("s3://bucket/decode", "train", options=options), folder, "train")
        with pytest.raises(DataError, match=r"^s3://nowhere/decode/index\.parquet is not there, or nobody answers; check"):
            list(stream("s3://nowhere/decode", options=options))
    finally:
        server.stop()


@pytest.mark.parametrize("address", ["pipe:cat /etc/passwd", "http://host/$(touch owned)", "ssh://host/x", "http://host/a|sh", "decode"])
def test_other_addresses_are_refused(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="is no address of shards"):
        list(stream(address))
    assert not list(tmp_path.iterdir())


def test_nobody_there_is_one_line(web: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(DataError, match=r"/decode/index\.parquet is not there, or nobody answers; check the address"):
            list(stream(f"http://127.0.0.1:{free.getsockname()[1]}/decode"))
    with pytest.raises(DataError, match=r"/nothing/index\.parquet is not there"):
        list(stream(f"{web}/nothing"))


def damaged(folder: Path, copy: Path, damage: str) -> Path:
    shutil.copytree(folder, copy)
    shard = sorted(copy.glob("train-*.tar"))[0]
    content = bytearray(shard.read_bytes())
    if damage == "cut":
        shard.write_bytes(content[:700])
    elif damage == "cut between samples":
        with tarfile.open(shard) as tar:
            end = tar.getmembers()[2].offset  # where the second sample begins
        shard.write_bytes(content[:end])
    elif damage == "flipped":
        content[content.index(b"NUMPY") + 130] ^= 1
        shard.write_bytes(content)
    else:
        with tarfile.open(shard, "w") as tar:
            for name in ("../../escaped.meta.json", "/escaped.meta.json"):
                member = tarfile.TarInfo(name)
                member.size = 2
                tar.addfile(member, io.BytesIO(b"{}"))
    return copy


@pytest.mark.parametrize(("damage", "words"), [
    ("cut", "is damaged or cut off|ends without"), ("cut between samples", "damaged or cut off|ends without"),
    ("flipped", "has other bytes than its index says"), ("members that lead elsewhere", "which its index does not name"),
])
def test_damage_is_told_and_nothing_is_written(damage: str, words: str, folder: Path, tmp_path: Path) -> None:
    copy = damaged(folder, tmp_path / "in/decode", damage)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=words):
        list(stream(str(copy), "train"))
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/escaped.meta.json").exists()
