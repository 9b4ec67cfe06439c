"""A command measured with all the processes that it starts."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLE_SEC = 0.1
LOOK_SEC = 0.5
"""Between two looks for new processes, which cost the more, the more processes there are on the machine."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a command took."""

    wall_sec: float
    cpu_sec: float
    """Of all processes, user and system; what a process did after its last sample is missing."""
    peak_rss_mb: float
    """Largest sum over the processes; memory that several of them share is counted for each."""
    peak_pss_mb: float
    """The same with shared memory counted once, where the system tells (Linux)."""
    output: str


def measure(command: Sequence[str | Path], cwd: Path, memory: bool = False) -> Usage:
    """Run a command to its end.

    Args:
        command: program and arguments.
        cwd: where.
        memory: sample memory too, which costs the command some percent of its speed.

    Raises:
        SystemExit: it failed; its last lines are shown.
    """
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    watch = _Watch(psutil.Process(process.pid), memory)
    watch.start()
    output, _ = process.communicate()
    wall_sec = time.perf_counter() - started
    watch.ended.set()
    watch.join()
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed ({process.returncode}):\n" + "\n".join(output.splitlines()[-5:]))
    return Usage(wall_sec, sum(watch.cpu_sec.values()), watch.peak_rss / 2**20, watch.peak_pss / 2**20, output)


class _Watch(threading.Thread):
    def __init__(self, root: psutil.Process, memory: bool) -> None:
        super().__init__(daemon=True)
        self.root, self.memory, self.ended = root, memory, threading.Event()
        self.cpu_sec: dict[int, float] = {}
        self.peak_rss = self.peak_pss = 0

    def run(self) -> None:
        seen, looked = {self.root.pid: self.root}, 0.0
        while not self.ended.wait(SAMPLE_SEC):
            if time.monotonic() - looked > LOOK_SEC:
                with suppress(psutil.Error):
                    seen |= {child.pid: child for child in self.root.children(recursive=True)}
                looked = time.monotonic()
            self._sample(seen)

    def _sample(self, seen: dict[int, psutil.Process]) -> None:
        rss = pss = 0
        for pid, process in list(seen.items()):
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    self.cpu_sec[pid] = times.user + times.system
                    if self.memory:
                        own = process.memory_info().rss
                        rss += own
                        pss += getattr(process.memory_full_info(), "pss", own)
            except psutil.Error:
                del seen[pid]
        self.peak_rss, self.peak_pss = max(self.peak_rss, rss), max(self.peak_pss, pss)

