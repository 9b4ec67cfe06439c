"""Stages as processes: each in a group of its own, so that a stopped flow leaves none of them behind."""

import os
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from pipeline.dvc_tool import dvc_command, dvc_environment

GRACE_SEC = 5.0
"""How long a stage has to stop by itself before the next, stronger signal."""


class StageProcesses:
    """The stages that run now; as a context manager it stops them on Ctrl-C, on SIGTERM and on any error."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._running: set[subprocess.Popen[bytes]] = set()
        self._door = threading.Lock()
        self._stopping = False
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StageProcesses":
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self.stop()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def run(self, stage: str) -> int:
        """Run one stage through DVC, which skips it when nothing it reads has changed; its output goes to the terminal.

        Returns:
            DVC's exit code, 0 when the stage is up to date now.
        """
        command = dvc_command("--wait-for-lock", "repro", "--single-item", stage)
        with self._door:
            if self._stopping:
                return 130
            process = subprocess.Popen(command, cwd=self.root, env=dvc_environment(), stdin=subprocess.DEVNULL, start_new_session=True)
            self._running.add(process)
        try:
            return process.wait()
        finally:
            with self._door:
                self._running.discard(process)

    def stop(self) -> None:
        """End every running stage and whatever it started, asking first."""
        with self._door:  # nothing starts after this
            self._stopping = True
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            for process in list(self._running):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            for process in list(self._running):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE_SEC)
            if not any(process.poll() is None for process in list(self._running)):
                return

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stop()
        raise KeyboardInterrupt
