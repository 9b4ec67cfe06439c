"""One plain line per interval with rate and ETA, to stderr."""

import sys
import time

from pipeline.processes import rank


def say(stage: str, text: str) -> None:
    """Print one line of a stage to stderr, the stage's name in a fixed column; of several processes the first one speaks."""
    if rank() == 0:
        print(f"{stage:<12} {text}", file=sys.stderr, flush=True)


def human_seconds(seconds: float) -> str:
    """'42s', '3.1m' or '2.4h'."""
    if seconds < 90:
        return f"{seconds:.0f}s"
    return f"{seconds / 60:.1f}m" if seconds < 5400 else f"{seconds / 3600:.1f}h"


class Progress:
    """Counts items of a stage and says how far it is, at most every `interval_sec`."""

    def __init__(self, stage: str, total: int, unit: str, interval_sec: float = 10.0) -> None:
        self.stage, self.total, self.unit, self.interval_sec = stage, total, unit, interval_sec
        self.done = 0
        self.started = self.last_said = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count `count` more items; `note` is added to the line when one is due."""
        self.done += count
        now = time.monotonic()
        if now - self.last_said < self.interval_sec and self.done < self.total:
            return
        self.last_said = now
        rate = self.done / max(now - self.started, 1e-9)
        eta = human_seconds((self.total - self.done) / rate) if rate > 0 else "?"
        share = 100 * self.done // max(self.total, 1)
        parts = [f"{self.done}/{self.total} ({share}%)", f"{rate:.1f} {self.unit}/s", note, f"eta {eta}"]
        say(self.stage, " | ".join(part for part in parts if part))
