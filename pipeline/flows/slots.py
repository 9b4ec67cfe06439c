"""Named limits: at most so many stages of a kind at once, over all runs of one user on this machine.

A slot is a lock on a file, held by the processes that work under it: the system frees it when the last of them is gone, however it
ended. (A limit kept in a server's database would stay taken after a kill -9, and would not know one machine's GPU from another's.)
"""

import fcntl
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import RunError

LOOK_SEC = 0.2


def slots_folder() -> Path:
    """Where the locks are: the user's cache, by machine, as a home may be shared by several."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "mmldm" / "slots" / platform.node()


@contextmanager
def slot(name: str, count: int, holder: str, *, wait: Callable[[float], bool], say: Callable[[str], None]) -> Iterator[BinaryIO | None]:
    """Hold one of `count` slots, waiting for it while all are taken.

    Args:
        name: of the limit, "gpu" or "cpu".
        count: how many there are.
        holder: who holds it, for those who wait.
        wait: waits so many seconds and returns True when waiting is to end.
        say: told once, when it has to wait.

    Yields:
        The locked file: a process that inherits it holds the slot too. None: waiting was ended.

    Raises:
        RunError: the folder of the locks cannot be made.
    """
    folder = slots_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = [(folder / f"{name}.{number}").open("a+b") for number in range(count)]
    except OSError as error:
        raise RunError(f"{folder} cannot be written ({error.strerror}), where runs share the {name}; "
                       "set XDG_CACHE_HOME to a folder of yours") from None
    try:
        held = _lock_one(files)
        if held is None:
            say(f"waits for the {name}, which {_holders(files)} {'has' if count == 1 else 'have'} (flow.{name}: {count})")
        while held is None and not wait(LOOK_SEC):
            held = _lock_one(files)
        if held is not None:
            held.truncate(0)
            held.write(holder.encode())
            held.flush()
        for file in files:
            if file is not held:
                file.close()
        yield held
    finally:
        for file in files:
            file.close()


def _lock_one(files: Sequence[BinaryIO]) -> BinaryIO | None:
    for file in files:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
    return None


def _holders(files: Sequence[BinaryIO]) -> str:
    names = []
    for file in files:
        file.seek(0)
        names.append(file.read().decode(errors="replace") or "another run")
    return ", ".join(names)
