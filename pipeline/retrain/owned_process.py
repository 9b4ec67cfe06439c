"""Commands in a copy of the project: each in a group of its own, ended with this process, or by the next run when this one was killed."""

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import psutil

from pipeline.errors import RunError

OWNED = "MMLDM_OWNED_BY"
"""Environment variable of everything that is started here, which names the copy: a user's shell in the same folder does not have it."""
KEPT_LINES = 40
GRACE_SEC = 5.0


class CommandError(RunError):
    """A command failed; `said` is what it printed last."""

    def __init__(self, message: str, said: str) -> None:
        super().__init__(message)
        self.said = said


def run_owned(command: Sequence[str], folder: Path, environment: Mapping[str, str], name: str, *, shown: bool = True) -> None:
    """Run a command to its end.

    Args:
        command: program and arguments; no shell reads them.
        folder: where it runs.
        environment: the whole of it.
        name: for the error text.
        shown: what it says goes on to this process's stderr.

    Raises:
        CommandError: it failed; with its last words.
    """
    process = subprocess.Popen(command, cwd=folder, env={**environment, OWNED: str(folder)}, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    said: deque[str] = deque(maxlen=KEPT_LINES)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            said.append(line.rstrip())
            if shown:
                print(line, end="", file=sys.stderr, flush=True)
        code = process.wait()
    except BaseException:
        _end_group(process)
        raise
    if code != 0:
        words = reason(said) or f"exit code {code}"
        raise CommandError(f"{name} failed in {folder.parent.name}/{folder.name}: {words}", words)


def reason(said: Sequence[str]) -> str:
    """The line of a failed command's last ones that says why: a stage's own before DVC's, which only says which stage."""
    lines = [line for line in said if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    before = [line for line in lines if not line.startswith(("ERROR: ", "Running stage", "> ", "Updating", "Stage '", "'", "WARNING"))]
    failed_stage = bool(errors) and errors[0].startswith("failed to reproduce")
    return before[-1] if failed_stage and before else next(iter(errors or lines[-1:]), "")


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGTERM stops as Ctrl-C does: what was started is ended, then `KeyboardInterrupt` is raised."""
    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread: whoever started it listens
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def end_orphans(folder: Path) -> None:
    """End what a killed run left at work in a copy; only one run at a time works there, and it has started nothing yet."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(OWNED) == str(folder):
                process.kill()
                process.wait(GRACE_SEC)


def _end_group(process: "subprocess.Popen[str]") -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SEC)
            return
