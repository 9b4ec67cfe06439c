"""Files that have arrived in `retrain.incoming`: which are whole, how they are taken, where those go that cannot be used.

What is taken is copied first; the original goes away only when its bytes are under version control.
"""

import csv
import io
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from pipeline.contracts.outputs import write_text

REASONS = "reasons.csv"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file as it lay there."""

    path: str
    """Relative to the folder, "/" between folders."""
    size: int
    mtime_ns: int
    ctime_ns: int
    """Of its last change of any kind: a copy that sets the time back is seen too."""

    @classmethod
    def of(cls, folder: Path, path: str) -> "Arrival | None":
        """A file of a folder as it is now; None: it is no regular file, which is never opened, as a link may lead anywhere, or its name
        is not UTF-8, which DVC cannot write down."""
        file = folder / path
        if file.is_symlink() or not file.is_file() or not path.isprintable():
            return None
        state = file.stat()
        return cls(path, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that is not taken, and why."""

    path: str
    reason: str
    """A code of data/inventory/rejected.parquet, or duplicate, name_taken, not_a_video."""
    detail: str


@dataclass(frozen=True, slots=True)
class Look:
    """What lies in the folder."""

    whole: tuple[Arrival, ...]
    waiting: tuple[str, ...]
    """Still being copied, or no regular file."""


def look(folder: Path, settle_sec: float) -> Look:
    """The files of a folder, sorted by path, those that do not change within `settle_sec` apart from the others.

    Hidden files are not looked at: tools that copy under a temporary name hide it so (rsync, browsers).
    """
    first = _listed(folder)
    if not first:
        return Look((), ())
    time.sleep(settle_sec)
    second = _listed(folder)
    whole = tuple(arrival for path, arrival in second.items() if arrival is not None and first.get(path) == arrival)
    return Look(whole, tuple(sorted(second.keys() - {arrival.path for arrival in whole})))


def _listed(folder: Path) -> dict[str, Arrival | None]:
    found = {}
    for place, subfolders, files in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        for name in files:
            if not name.startswith("."):
                path = (Path(place) / name).relative_to(folder).as_posix()
                found[path] = Arrival.of(folder, path)
    return dict(sorted(found.items()))


def copy_whole(folder: Path, arrival: Arrival, target: Path, temporary: Path) -> bool:
    """Copy a file of the folder to `target`, whose folders are made, by way of `temporary` (on the same disk).

    Returns:
        Whether there is a copy now: none of a file that cannot be read, changed or went away meanwhile.
    """
    try:
        shutil.copyfile(folder / arrival.path, temporary)
        unchanged = Arrival.of(folder, arrival.path) == arrival
    except (FileNotFoundError, PermissionError):
        unchanged = False
    if not unchanged:
        temporary.unlink(missing_ok=True)
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(temporary, target)
    return True


def clear_taken(folder: Path, taken: Iterable[Arrival]) -> None:
    """Remove originals whose bytes are safe; one that is another file by now stays, and is taken by the next run."""
    for arrival in taken:
        if Arrival.of(folder, arrival.path) == arrival:
            (folder / arrival.path).unlink()


def set_aside(folder: Path, arrivals: Iterable[Arrival], refused: Sequence[Refused], aside: Path) -> None:
    """Move originals that cannot be used to `aside`, with the reasons in a table there; done twice it is done once."""
    by_path = {arrival.path: arrival for arrival in arrivals}
    for refusal in refused:
        file, target = folder / refusal.path, aside / refusal.path
        if refusal.path not in by_path or Arrival.of(folder, refusal.path) != by_path[refusal.path]:
            continue
        number = 0
        while target.exists():  # of an earlier file of that name
            number += 1
            target = (aside / refusal.path).with_name(f"{file.stem}.{number}{file.suffix}")
        target.parent.mkdir(parents=True, exist_ok=True)
        _add_reason(aside / REASONS, Refused(target.relative_to(aside).as_posix(), refusal.reason, refusal.detail))
        shutil.move(file, target)


def _add_reason(table: Path, refused: Refused) -> None:
    header = ("path", "reason", "detail")
    rows = list(csv.reader(table.read_text(encoding="utf-8").splitlines())) if table.exists() else [list(header)]
    row = list(astuple(refused))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([*(old for old in rows if old[0] != row[0]), row])
    write_text(table, text.getvalue())
