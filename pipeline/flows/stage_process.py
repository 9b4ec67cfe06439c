"""Stages as processes: read line by line while they run, each under guard, so that a stopped or killed flow leaves none behind."""

import io
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from pipeline.dvc_tool import dvc_command, dvc_environment
from pipeline.flows.causes import transient_cause
from pipeline.flows.guard import guard_command

RAN = re.compile(r"Running stage '")
FROM_CACHE = re.compile(r"Stage '.*' is cached - skipping run")
_NOISE = re.compile(r"^(Use `dvc push`|To track the changes with git|To enable auto staging|\tgit add |\tdvc config |Updating lock file|"
                    r"Generating lock file|Data and pipelines are up to date|Stage '.*' didn't change|$)")
"""What DVC says after each stage when it runs it alone."""
_DVC = re.compile(rf"{_NOISE.pattern}|Running stage '|> |Stage '")
_ERROR = "ERROR: "


@dataclass(frozen=True, slots=True)
class Ended:
    """How one start of a stage ended."""

    code: int
    """Exit code of DVC; 0: the stage is up to date."""
    ran: bool
    """Whether its command was started; with code 0 and without, nothing was to do."""
    from_cache: bool
    """Whether DVC took the output from its cache, as the same inputs had been run before."""
    seconds: float
    cause: str | None
    """Why another start may succeed; None: it would not."""
    last_line: str
    """What the stage, or DVC, said last of its failure."""

    @classmethod
    def before_it_began(cls, reason: str) -> "Ended":
        """A stage that could not be started."""
        return cls(1, ran=False, from_cache=False, seconds=0.0, cause=None, last_line=reason)


class StageProcesses:
    """The stages that run now; leaving it as a context manager ends those that still do."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._running: set[subprocess.Popen[bytes]] = set()
        self._door = threading.Lock()
        self._stopping = threading.Event()

    def __enter__(self) -> "StageProcesses":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def stopping(self) -> bool:
        """Whether stages are being ended; none starts any more."""
        return self._stopping.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until the stages are to stop; True in that case."""
        return self._stopping.wait(seconds)

    def run(self, stage: str, *, force: bool, hold: BinaryIO | None, heard: Callable[[str], None]) -> Ended:
        """Run one stage through DVC, which skips it when nothing that it reads has changed.

        Args:
            stage: its name.
            force: run it although it is up to date.
            hold: the file of a slot, which the processes keep as long as they live.
            heard: told each line that the stage or DVC says, without its end.
        """
        options = ["--force"] if force else []
        command = guard_command(dvc_command("--wait-for-lock", "repro", "--single-item", *options, stage))
        started = time.monotonic()
        with self._door:
            if self.stopping:
                return Ended.before_it_began("stopped")
            process = subprocess.Popen(command, cwd=self.root, env=_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, start_new_session=True, pass_fds=[hold.fileno()] if hold else [])
            self._running.add(process)
        errors: list[str] = []
        ran = from_cache = False
        last = ""
        assert process.stdout is not None and process.stdin is not None
        try:
            for line in io.TextIOWrapper(process.stdout, encoding="utf-8", errors="replace"):  # \r ends a line too
                line = line.rstrip("\n")
                ran = ran or bool(RAN.match(line))
                from_cache = from_cache or bool(FROM_CACHE.match(line))
                if line.startswith(_ERROR):
                    errors.append(line)
                elif not _DVC.match(line):
                    last = line
                if not _NOISE.match(line):
                    heard(line)
            code = process.wait()
        finally:
            process.stdin.close()
            with self._door:
                self._running.discard(process)
        cause = transient_cause(code, errors) if code and not self.stopping else None
        return Ended(code, ran, from_cache, time.monotonic() - started, cause, last or (errors or [f"exit code {code}"])[-1])

    def stop(self) -> None:
        """End every running stage and whatever it started, asking first; nothing starts after this."""
        with self._door:
            self._stopping.set()
            running = list(self._running)
        for process in running:
            if process.stdin is not None:
                process.stdin.close()  # which its guard waits for
        for process in running:
            if process.wait() < 0:  # the guard itself was killed
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def _environment() -> dict[str, str]:
    return {**dvc_environment(), "PYTHONUNBUFFERED": "1"}  # a line is heard when it is said
