"""Which files are read for their hash, and which are known."""

import os
from pathlib import Path

from pipeline.contracts.remembered_hashes import SETTLED_NS, RememberedHashes


def made(path: Path, text: str) -> Path:
    """A file that nobody has touched for a while."""
    path.write_text(text)
    old = path.stat().st_mtime_ns - 10 * SETTLED_NS
    os.utime(path, ns=(old, old))
    return path


def test_a_file_is_read_once_however_many_runs_ask(tmp_path) -> None:
    path, read = made(tmp_path / "kept.tar", "a"), []
    for _ in range(2):
        hashes = RememberedHashes(tmp_path / "hashes.json", lambda asked: read.append(asked) or asked.read_text())  # type: ignore[func-returns-value]
        assert hashes(path) == "a"
        hashes.save()
    assert read == [path]
    made(path, "bb")
    assert hashes(path) == "bb"


def test_what_this_run_has_written_is_not_read_and_the_next_run_reads_it(tmp_path) -> None:
    path = made(tmp_path / "new.tar", "bytes on the disk")
    hashes = RememberedHashes(tmp_path / "hashes.json", Path.read_text)
    hashes.wrote(path, "told by the writer")
    assert hashes(path) == "told by the writer"
    hashes.save()
    assert RememberedHashes(tmp_path / "hashes.json", Path.read_text)(path) == "bytes on the disk"
    made(path, "others")
    assert hashes(path) == "others"
