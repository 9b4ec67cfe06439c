"""dvc.lock, whose entries DVC appends as stages end: stages that ran side by side would leave it in an order of chance."""

import re
from collections.abc import Collection
from pathlib import Path

from dvc.lock import Lock, LockError

from pipeline.contracts.outputs import write_text

_ENTRY = re.compile(r"(?m)^  (?=\S)")


def recorded_stages(root: Path) -> set[str]:
    """Stages that have ended well at least once."""
    return set(_read(root / "dvc.lock")[1])


def order_entries(root: Path, order: Collection[str]) -> None:
    """Put the entries into the order of the graph, in which one `dvc repro` writes them; an entry of no stage stays, at the end.

    Args:
        root: the project's folder.
        order: its stages in running order.
    """
    path = root / "dvc.lock"
    try:
        with Lock(str(root / ".dvc/tmp/lock")):
            head, by_stage = _read(path)
            names = [name for name in (*order, *(name for name in by_stage if name not in order)) if name in by_stage]
            if names != list(by_stage):
                write_text(path, "  ".join([head, *(by_stage[name] for name in names)]))
    except LockError:
        pass  # another DVC is writing it: the order is no reason to wait


def _read(path: Path) -> tuple[str, dict[str, str]]:
    """What is before the first entry, and each entry's own text by its stage."""
    head, *entries = _ENTRY.split(path.read_text(encoding="utf-8")) if path.is_file() else [""]
    return head, {entry.split(":", 1)[0]: entry for entry in entries}
