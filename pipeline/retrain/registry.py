"""`data/registry.parquet`: a row for every model and every change of champion, in order; written whole, so that a row is there or not.

The champion follows from the rows: `trained` (when promoted) and `promote` put a model on top, `rollback` takes the top one off.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contracts.tables import write_table
from pipeline.errors import RunError

REGISTRY = Path("data/registry.parquet")
SCHEMA = pa.schema([
    ("event", pa.string()),             # trained, promote or rollback
    ("model", pa.string()),             # that the row is about
    ("decision", pa.string()),          # promoted or declined; withdrawn by a rollback
    ("reason", pa.string()),
    ("champion", pa.string()),          # after the row
    ("decided_at", pa.string()),        # UTC
    ("commit", pa.string()),            # git commit that holds dvc.lock and the .dvc file of the raw data; of trained, "" otherwise
    ("base", pa.string()),              # the user's commit that it was made from
    ("data_version", pa.string()),      # hash of the raw data as DVC knows it
    ("base_data_version", pa.string()),  # and of the user's own at that commit
    ("new_files", pa.int64()),
    ("rejected_files", pa.int64()),
    ("warm_start", pa.string()),        # model whose weights the trainings began with, or ""
    ("params", pa.string()),            # params.yaml
    ("metrics", pa.string()),           # JSON, flat
    ("champion_metrics", pa.string()),  # of the champion on the same clips, seeds and protocol; "{}" for the first model
    ("pushed", pa.bool_()),             # to the DVC remote
])
Row = Mapping[str, Any]


def read_registry(root: Path) -> list[dict[str, Any]]:
    """All rows, the oldest first; [] before the first model.

    Raises:
        RunError: the file is damaged, or of another version.
    """
    path = root / REGISTRY
    if not path.exists():
        return []
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"{REGISTRY} cannot be read ({' '.join(str(error).split())[:80]}); restore it from a copy, or remove it to begin "
                       "anew (the models stay in git as tags model-...)") from None
    if table.schema.names != SCHEMA.names:
        raise RunError(f"{REGISTRY} has the columns {', '.join(table.schema.names)}, expected {', '.join(SCHEMA.names)}; it is of another "
                       "version of this project: move it away to begin anew")
    return table.to_pylist()


def write_registry(root: Path, rows: Sequence[Row]) -> None:
    """Write all rows, atomically."""
    (root / REGISTRY).parent.mkdir(parents=True, exist_ok=True)
    write_table(root / REGISTRY, rows, SCHEMA)


def champions(rows: Sequence[Row]) -> list[str]:
    """The models that have been champion and were not rolled back, the present one last."""
    standing: list[str] = []
    for row in rows:
        if row["event"] == "rollback":
            standing.pop()
        elif row["decision"] == "promoted":
            standing.append(row["model"])
    return standing


def champion(rows: Sequence[Row]) -> str:
    """The present champion; "" before the first."""
    return next(reversed(champions(rows)), "")


def trained(rows: Sequence[Row], model: str) -> Row:
    """The row in which a model was made.

    Raises:
        RunError: there is no such model.
    """
    found = next((row for row in rows if row["event"] == "trained" and row["model"] == model), None)
    if found is None:
        known = [row["model"] for row in rows if row["event"] == "trained"]
        raise RunError(f"there is no {model} in the registry, it has: {', '.join(known) or 'no model yet'}; run: mmldm registry list")
    return found


def model_name(number: int) -> str:
    """model-0007."""
    return f"model-{number:04d}"


def rolled_back(rows: Sequence[Row], at: str) -> list[Row]:
    """The rows with one more that takes the champion off.

    Raises:
        RunError: no other model has been champion.
    """
    standing = champions(rows)
    if len(standing) < 2:
        raise RunError(f"there is no champion before {standing[0] if standing else 'the first one'}, so there is nothing to go back to; "
                       "run: mmldm registry list")
    return [*rows, _by_hand("rollback", standing[-1], "withdrawn", f"rolled back to {standing[-2]}", standing[-2], at)]


def promoted_by_hand(rows: Sequence[Row], model: str, at: str) -> list[Row]:
    """The rows with one more that makes a model champion.

    Raises:
        RunError: there is no such model, or it is champion already.
    """
    trained(rows, model)
    if champion(rows) == model:
        raise RunError(f"{model} is the champion already; run: mmldm registry list")
    return [*rows, _by_hand("promote", model, "promoted", "by hand", model, at)]


def _by_hand(event: str, model: str, decision: str, reason: str, now_champion: str, at: str) -> Row:
    empty = {name: "" for name in SCHEMA.names}
    return {**empty, "event": event, "model": model, "decision": decision, "reason": reason, "champion": now_champion, "decided_at": at,
            "new_files": 0, "rejected_files": 0, "metrics": "{}", "champion_metrics": "{}", "pushed": True}


def table_lines(rows: Sequence[Row]) -> list[str]:
    """What `mmldm registry list` prints."""
    if not rows:
        return ["no model yet; run: mmldm retrain"]
    header = ("model", "event", "decision", "new", "rejected", "data", "decided at", "champion", "reason")
    cells = [header, *((row["model"], row["event"], row["decision"], str(row["new_files"]), str(row["rejected_files"]),
                        row["data_version"][:8], row["decided_at"], row["champion"], row["reason"]) for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(header) - 1)]
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]) for line in cells]
