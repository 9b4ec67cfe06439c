"""python -m pipeline.flows.guard COMMAND...: runs a command that ends when whoever started this is gone, by kill -9 too.

The starter holds the other end of this process's standard input. When it closes it, or dies, the input ends, and with it the
command and all that it started: asked first (SIGINT), then told (SIGTERM), then killed. To be started in a session of its own.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import psutil

GRACE_SEC = 5.0
"""How long a process has to stop by itself before the next, stronger signal."""
PR_SET_CHILD_SUBREAPER = 36


def guard_command(command: list[str]) -> list[str]:
    """The command line that runs `command` under guard."""
    return [sys.executable, "-m", "pipeline.flows.guard", *command]


def main(command: list[str]) -> int:
    """Run `command` to its end.

    Returns:
        Its exit code, 128 + n when signal n ended it. After the starter's end any code but 0, as nobody is left to read it.
    """
    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # with a handler, as an ignored signal stays ignored in the command
        signal.signal(number, lambda *_: None)
    process, ending = subprocess.Popen(command, stdin=subprocess.DEVNULL), threading.Event()
    threading.Thread(target=_end_with_starter, args=[ending], daemon=True).start()
    code = process.wait()
    if code == 0 and ending.is_set():
        code = 130  # whoever ends the processes may take this one's exit code, and `wait` then makes up a 0
    _, left = psutil.wait_procs(psutil.Process().children(recursive=True), GRACE_SEC)
    end_all(left)
    return code if code >= 0 else 128 - code


def adopt_orphans() -> None:
    """From now on a descendant whose parent dies is this process's child (Linux): whoever is killed in between, none is lost."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_all(processes: list[psutil.Process]) -> None:
    """End processes and what they have started meanwhile: SIGINT, SIGTERM, SIGKILL, with `GRACE_SEC` between them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        _, processes = psutil.wait_procs(processes, GRACE_SEC)
        processes = list(dict.fromkeys([*processes, *psutil.Process().children(recursive=True)]))
        if not processes:
            return


def _end_with_starter(ending: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):  # nothing is ever written: this waits for the end
        pass
    ending.set()
    end_all(psutil.Process().children(recursive=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
