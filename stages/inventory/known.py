"""Contents that need not be decoded again: measured by the last run, or by one that was killed, with the code of this one.

What is measured is written down at once, a JSON line a content, so that a kill costs what is in the workers' hands. A line is a
function of the content and the code (measure.py), so it is taken over from whatever run wrote it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.contracts.outputs import Work
from pipeline.contracts.sources import TABLE
from stages.inventory.measured import Outcome, outcome_from

JOURNAL = "measured.jsonl"


class Known:
    """Outcomes by sha256; those that are added are kept on disk. A context: `with Known(work, measured_by) as known`."""

    def __init__(self, work: Work, measured_by: str) -> None:
        """Args:
            work: from `stage_output(..., takes_over=True)`.
            measured_by: recipe of `measure`; what another one measured is not known.
        """
        self._measured_by = measured_by
        self._outcomes: dict[str, Outcome] = {}
        for folder in (*work.earlier, work.scratch):
            for row in (*_table_rows(folder / TABLE, measured_by), *_journal_rows(folder / JOURNAL, measured_by)):
                outcome = outcome_from(row)
                self._outcomes.setdefault(outcome.sha256, outcome)
        journal = work.scratch / JOURNAL
        torn = journal.exists() and journal.read_bytes()[-1:] not in (b"", b"\n")
        self._journal = journal.open("a", encoding="utf-8")
        if torn:
            self._journal.write("\n")

    def __enter__(self) -> "Known":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._journal.close()

    def get(self, sha256: str) -> Outcome | None:
        """The outcome of a content, None if it has to be measured."""
        return self._outcomes.get(sha256)

    def add(self, outcome: Outcome) -> None:
        """Keep an outcome, on disk when this returns."""
        self._outcomes[outcome.sha256] = outcome
        row = {name: value.hex() if isinstance(value, bytes) else value for name, value in outcome.row().items()}
        self._journal.write(json.dumps({**row, "measured_by": self._measured_by}) + "\n")
        self._journal.flush()


def _table_rows(path: Path, measured_by: str) -> list[dict[str, Any]]:
    """Rows of an earlier output; none of one that is absent, damaged, or of another version."""
    try:
        table = pq.read_table(path)
        return table.filter(pc.equal(table.column("measured_by"), measured_by)).to_pylist()
    except (OSError, KeyError, pa.ArrowException):
        return []


def _journal_rows(path: Path, measured_by: str) -> Iterator[dict[str, Any]]:
    """Lines of a killed run; the last one may be torn."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and row.get("measured_by") == measured_by:
            yield row
