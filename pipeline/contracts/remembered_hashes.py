"""Hashes of large files that nobody has touched since they were read, so that kept shards are not read again and again.

A file is known by its inode, size and time of change, as DVC knows what it need not hash. What these do not show (a disk that loses
bits by itself) is not noticed where the hash is remembered; whoever doubts removes data/.wip, and all is read again.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

SETTLED_NS = 2_000_000_000
"""A file changed so short a time before it was read could be changed again under the same time: clocks of file systems are coarse."""


class RememberedHashes:
    """Reads a file only where its hash is not known. Call it with a path."""

    def __init__(self, memory: Path, read: Callable[[Path], str]) -> None:
        """Args:
            memory: where the hashes are kept between runs; one that is absent or damaged is empty.
            read: hash of a file's bytes.
        """
        self._memory, self._read = memory, read
        self._known = _load(memory)
        self._used: dict[str, str] = {}
        self._written: dict[str, str] = {}

    def __call__(self, path: Path) -> str:
        """Hash of a file's bytes.

        Raises:
            OSError: it cannot be read.
        """
        before = _stamp(path.stat())
        if before in self._written:
            return self._written[before]
        digest = self._known.get(before)
        if digest is None:
            started = time.time_ns()
            digest = self._read(path)
            after = path.stat()
            if _stamp(after) != before or after.st_mtime_ns > started - SETTLED_NS:
                return digest
        self._used[before] = digest
        return digest

    def wrote(self, path: Path, digest: str) -> None:
        """Hash of a file that this run has just written; known for as long as the run lasts."""
        self._written[_stamp(path.stat())] = digest

    def save(self) -> None:
        """Keep what was asked for in this run, and nothing else."""
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._memory.with_name(f"{self._memory.name}.tmp")
        temporary.write_text(json.dumps(self._used), encoding="utf-8")
        os.replace(temporary, self._memory)


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}"


def _load(memory: Path) -> dict[str, str]:
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(stamp): str(digest) for stamp, digest in known.items()} if isinstance(known, dict) else {}
