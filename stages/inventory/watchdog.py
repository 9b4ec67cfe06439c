"""A decoder that hangs is killed, native code or not, so that one file cannot stop a run for ever."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_SEC = 120.0
"""Without a packet. The slowest codecs take seconds for a frame; reading from a slow disk is waiting too."""


@contextmanager
def watchdog(patience_sec: float = PATIENCE_SEC) -> Iterator[Callable[..., None]]:
    """Kill this process by SIGALRM unless the yielded function is called again and again.

    For worker processes: the signal's default action needs no Python code to run, which a decoder that hangs would not allow.

    Yields:
        alive(patience_sec): begins the waiting anew.
    """
    def alive(patience_sec: float = patience_sec) -> None:
        signal.setitimer(signal.ITIMER_REAL, patience_sec)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # which it is, unless somebody changed it; Dask works in a thread
    alive()
    try:
        yield alive
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def was_killed(exit_code: int | None) -> bool:
    """Whether a process with this exit code ended by the watchdog."""
    return exit_code == -signal.SIGALRM
