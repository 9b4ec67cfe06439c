"""One file in a worker process: hashed, decoded whole, hashed again.

All that `measure` returns for a file is a function of its bytes, of this code and of its libraries; so it can be kept (known.py).
What depends on the moment is told apart: `Passing`.
"""

import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from stages.inventory.measured import Outcome
from stages.inventory.probe import probe
from stages.inventory.readers import choose_reader
from stages.inventory.reasons import RejectedFile
from stages.inventory.streams import hash_file
from stages.inventory.watchdog import PATIENCE_SEC, was_killed, watchdog


@dataclass(frozen=True, slots=True)
class Named:
    """A file of data.raw."""

    source: Path
    path: str
    """Relative to `source`."""


@dataclass(frozen=True, slots=True)
class Hashed(Named):
    """A file's bytes, and what tells cheaply that they are still the same."""

    sha256: str
    size: int
    mtime_ns: int
    patience_sec: float = PATIENCE_SEC


@dataclass(frozen=True, slots=True)
class Passing:
    """A file that could not be used at this moment; tried again in the next run."""

    path: str
    reason: str
    detail: str

    def row(self) -> dict[str, object]:
        """As in rejected.parquet."""
        return {"source_path": self.path, "reason": self.reason, "detail": self.detail}


def hash_one(file: Named) -> Hashed | Passing:
    """The hash of one file."""
    path = file.source / file.path
    try:
        before = path.stat()
        if not stat.S_ISREG(before.st_mode):  # reading a pipe would wait for ever
            return Passing(file.path, "unreadable", "no regular file")
        return Hashed(file.source, file.path, hash_file(path), before.st_size, before.st_mtime_ns)
    except OSError as error:
        return Passing(file.path, "unreadable", f"{error.strerror}")


def measure(file: Hashed) -> Outcome | Passing:
    """What the file holds, or why it is left out."""
    try:
        with watchdog(file.patience_sec) as alive:
            outcome = _measured(file, alive)
        after = (file.source / file.path).stat()
        if (file.size, file.mtime_ns) != (after.st_size, after.st_mtime_ns):
            return Passing(file.path, "changed_while_read", f"{file.size} bytes at first, {after.st_size} after")
        # Size and time can be set back: what counts is that the bytes that were measured are those that the hash names.
        if hash_file(file.source / file.path) != file.sha256:
            return Passing(file.path, "changed_while_read", "other bytes after than before, of the same size and time")
    except OSError as error:  # FFmpeg's own errors are turned into reasons before they get here
        return Passing(file.path, "unreadable", f"{error.strerror}")
    except Exception as error:
        # A library's complaint that nobody foresaw costs its file, with its words in the table, and not the run.
        return Passing(file.path, "reader_failed", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    return outcome


def crashed(file: Hashed, exit_code: int | None) -> Passing:
    """What stands for a file at which the worker process died."""
    if was_killed(exit_code):
        return Passing(file.path, "reader_hung", f"no packet for {file.patience_sec:g} s, also when it was read alone")
    return Passing(file.path, "reader_crashed", f"the process that read it died (exit code {exit_code}), also when it read nothing else")


def _measured(file: Hashed, alive: Callable[..., None]) -> Outcome:
    path = file.source / file.path
    try:
        measured, frame_times_sec = probe(path, alive)
        # decord lists all packets of a file before it returns for the first time: 10 MB/s is a slow disk.
        alive(file.patience_sec + file.size / 10e6)
        reader, because = choose_reader(path, measured, frame_times_sec)
    except RejectedFile as rejection:
        return Outcome(file.sha256, file.size, None, rejection.reason, rejection.detail)
    return Outcome(file.sha256, file.size, replace(measured, reader=reader, reader_because=because))
