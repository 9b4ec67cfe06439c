"""What Prefect's page shows of a run: each stage's lines as its log, how far it is, its summary; the figures and where the report is.

The page only watches: where its server does not answer, the stages go on, and one line says so.
"""

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from prefect.artifacts import create_markdown_artifact, create_progress_artifact, create_table_artifact, update_progress_artifact
from prefect.logging import get_run_logger

from pipeline.contracts.outputs import SUCCESS
from pipeline.flows.server import API_URL, answers, running_record
from pipeline.flows.stage_process import Ended
from pipeline.look import metrics_rows
from pipeline.progress import human_seconds, say

PROGRESS_SEC = 5.0
"""Between two updates of a stage's progress."""
_SHARE = re.compile(r"\((\d+(?:\.\d+)?)%\)")
"""As `pipeline.progress` and `pipeline.training` write it: `412/928 (44%)`."""
_warned = threading.Event()

T = TypeVar("T")


class StagePage:
    """One stage's part of the page; made and used in its task."""

    def __init__(self, stage: str) -> None:
        self.stage, self.key = stage, stage.replace("_", "-")
        self._logger = get_run_logger()
        self._bar: UUID | None = None
        self._updated = 0.0

    def hear(self, line: str) -> None:
        """A line that the stage has said: to the terminal, to its log, and its `(44%)` to its bar."""
        with suppress(OSError):  # a terminal, or a served run's mmldm serve, that is gone
            print(line, file=sys.stderr, flush=True)
        self._logger.info(line)
        share = _SHARE.search(line)
        if share and time.monotonic() - self._updated > PROGRESS_SEC:
            self._updated = time.monotonic()
            self._show_progress(float(share[1]))

    def say(self, text: str) -> None:
        """A line about the stage."""
        say(self.stage, text)
        self._logger.info(text)

    def summarise(self, root: Path, ended: Ended) -> None:
        """What the stage wrote: its counts and its metrics."""
        if self._bar is not None:
            self._show_progress(100.0)
        _tell(lambda: create_markdown_artifact(
            summary(root / "data" / self.stage, self.stage, ended), key=f"{self.key}-summary", description=f"What {self.stage} wrote"))

    def _show_progress(self, percent: float) -> None:
        if self._bar is None:
            bar = _tell(lambda: create_progress_artifact(percent, key=f"{self.key}-progress", description=f"How far {self.stage} is"))
            self._bar = bar if isinstance(bar, UUID) else None
        else:
            shown = self._bar
            _tell(lambda: update_progress_artifact(shown, percent))


def show_results(root: Path) -> None:
    """The figures as a table, and where the report is, as far as both are there."""
    metrics = root / "data/evaluate/metrics.json"
    if metrics.is_file():
        header, *rows = metrics_rows(json.loads(metrics.read_text(encoding="utf-8")))
        _tell(lambda: create_table_artifact([dict(zip(header, row, strict=True)) for row in rows], key="metrics",
                                            description="data/evaluate/metrics.json; extractor and sample counts are in metrics.csv"))
    page = root / "data/report/index.html"
    if page.is_file():
        served = running_record(root)
        link = f"[samples to look at and listen to]({served.report})\n\n" if served and served.report else ""
        _tell(lambda: create_markdown_artifact(f"{link}`{page.resolve()}`", key="report", description="The report page"))


def summary(folder: Path, stage: str, ended: Ended) -> str:
    """Markdown: what was done in how long, the counts of `_SUCCESS.json` and the stage's metrics, where it wrote such."""
    done = f"ran in {human_seconds(ended.seconds)}" if ended.ran else "taken from DVC's cache" if ended.from_cache else "up to date"
    rows = [("counts", name, value) for name, value in _content(folder / SUCCESS).get("counts", {}).items()]
    rows += [("metrics", name, value) for name, value in _flat(_content(folder / "metrics.json"))]
    table = ["| | | |", "|---|---|---|", *(f"| {kind} | {name} | {value} |" for kind, name, value in rows)] if rows else []
    return "\n".join([f"**{stage}** {done}", "", *table])


def _flat(values: dict, prefix: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, value in values.items():
        found += _flat(value, f"{prefix}{name} ") if isinstance(value, dict) else [(prefix + name, value)]
    return found


def _content(path: Path) -> dict:
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content if isinstance(content, dict) else {}


def _tell(send: Callable[[], T]) -> T | None:
    try:
        if answers(os.environ[API_URL]):  # Prefect's own calls to a server that is gone go on for a minute each
            return send()
        reason = "its server does not answer"
    except Exception as error:  # whatever a server or the way to it can do: it is no reason to stop a stage
        reason = type(error).__name__
    if not _warned.is_set():
        _warned.set()
        say("reproduce", f"Prefect's page misses something ({reason}); the stages go on")
    return None
