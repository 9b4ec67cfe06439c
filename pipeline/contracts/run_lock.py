"""One run of a stage at a time on one output: a lock that the system takes back when its process ends, however it ends."""

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import RunError

NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems say that have none; there two runs are the user's affair."""


@contextlib.contextmanager
def only_run(lock: Path, out: Path) -> Iterator[None]:
    """Hold `lock` while the block runs.

    Args:
        lock: a small file that stays; it names the process that holds it, or the last one that did.
        out: what is written meanwhile, for the message.

    Raises:
        RunError: another run holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise RunError(f"{out} is being written by another run ({file.read().strip() or 'just started'}); "
                           "wait for it, or stop it, then run the same command again") from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
