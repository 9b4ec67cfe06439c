"""What lies in the data folder, sorted, each file with its class; nothing passed over without a word.

Without a table of labels the layout is `<class>/<file>`. With one, files may lie anywhere, and the table decides (labels.py).
"""

import os
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import DataError
from stages.inventory.labels import Label, Labels

VIDEO_ENDINGS = frozenset((
    ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".m1v", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".mxf", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv",
))
LAYOUT_DEPTH = 3
"""Levels looked at without labels: enough to tell a nested file from a good one, and a link back up cannot run on for ever."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file to measure."""

    path: str
    """Relative to data.raw, "/" between folders."""
    class_name: str
    split: str = ""
    """"train" or "test" where the labels say so, else ""."""
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a data folder."""

    candidates: list[Candidate]
    """Sorted by path."""
    rejected: list[dict[str, object]]
    """Videos at a wrong place or without a class, and labels without a file (rows of `rejected.parquet`)."""
    ignored: dict[str, int]
    """Count of files that do not look like videos, by ending; hidden files are not looked at."""


def list_files(source: Path, labels: Labels | None) -> Listing:
    """Walk the data folder.

    Args:
        source: data.raw.
        labels: the table of labels, or None.

    Raises:
        DataError: the folder is missing or empty, or has no class folders and no labels.
    """
    found = _walk(source, LAYOUT_DEPTH if labels is None else None)
    paths = [path for path in found if _is_utf8(path)]
    odd: list[dict[str, object]] = [
        {"source_path": os.fsencode(path).decode(errors="backslashreplace"), "reason": "name_not_utf8", "detail": "rename it"}
        for path in found if not _is_utf8(path)]
    videos = [path for path in paths if Path(path).suffix.lower() in VIDEO_ENDINGS]
    listing = _by_labels(paths, videos, labels) if labels else _by_folder(source, videos)
    used = {candidate.path for candidate in listing.candidates} | set(videos)
    ignored = Counter(Path(path).suffix.lower() or "no ending" for path in paths if path not in used)
    if not videos and not listing.candidates:
        said = f"{len(found)} files, none with a video's ending and a readable name" if found else "nothing"
        raise DataError(f'data.raw ("{source}") holds {said}; expected videos as <class>/<file>.mp4: '
                        "put them there or set data.raw in params.yaml")
    return Listing(listing.candidates, [*listing.rejected, *odd], dict(sorted(ignored.items())))


def require_folder(source: Path) -> None:
    """data.raw is a folder.

    Raises:
        DataError: it is not.
    """
    if not source.is_dir():
        raise DataError(f'data.raw is "{source}", which is {"a file" if source.exists() else "not there"}; '
                        "expected a folder <class>/<file>: set data.raw in params.yaml")


def _by_folder(source: Path, videos: list[str]) -> Listing:
    depths = {path: path.count("/") for path in videos}
    if videos and not any(depth >= 1 for depth in depths.values()):
        raise DataError(f'data.raw ("{source}") has no class folders, its {len(videos)} videos lie side by side; expected <class>/<file>: '
                        f"make one folder per class (one alone will do) and move them, such as {source}/my_class/{videos[0]}, "
                        "or name a table of classes in inventory.labels")
    rejected: list[dict[str, object]] = [
        {"source_path": path, "reason": "outside_class_folder" if depth == 0 else "nested_folder", "detail": "expected <class>/<file>"}
        for path, depth in depths.items() if depth != 1
    ]
    return Listing([Candidate(path, path.split("/")[0]) for path in videos if depths[path] == 1], rejected, {})


def _by_labels(paths: list[str], videos: list[str], labels: Labels) -> Listing:
    """Every row of the table and every video of the folder ends in one of the two lists."""
    label_of, missing = _matched(paths, labels)
    candidates: list[Candidate] = []
    rejected: list[dict[str, object]] = []
    for reason, rows, says in (("path_leads_outside", labels.outside, "expected a path inside of data.raw"),
                               ("missing_file", missing, "no such file in data.raw")):
        rejected += [{"source_path": path, "reason": reason, "detail": f"{labels.name}, {label.place}: {says}"}
                     for path, label in rows.items()]
    for path in sorted(label_of.keys() | set(videos)):
        label = label_of.get(path)
        folder = path.split("/")[0] if path.count("/") == 1 else ""
        if label is None and labels.names_classes:
            rejected.append({"source_path": path, "reason": "not_in_labels", "detail": f"{labels.name} has no row for it"})
            continue
        label = label or Label()
        if not label.class_name and not folder:
            detail = f"{labels.name}{f', {label.place},' * bool(label.place)} names no class, and the file lies in no class folder"
            rejected.append({"source_path": path, "reason": "no_class", "detail": detail})
            continue
        candidates.append(Candidate(path, label.class_name or folder, label.split, label.caption))
    return Listing(candidates, rejected, {})


def _matched(paths: list[str], labels: Labels) -> tuple[dict[str, Label], dict[str, Label]]:
    """(label by path of a file, labels whose file is not there).

    An accented letter is one sign or two (macOS takes names apart): both mean the same file.
    """
    files = {unicodedata.normalize("NFC", path): path for path in paths}
    files |= {path: path for path in paths}
    found: dict[str, Label] = {}
    missing: dict[str, Label] = {}
    for path, label in labels.by_path.items():
        file = files.get(path) or files.get(unicodedata.normalize("NFC", path))
        (missing if file is None or file in found else found)[file or path] = label
    return found, missing


def _walk(source: Path, max_depth: int | None) -> list[str]:
    """Paths of all files that are not hidden, relative, sorted; `max_depth` None: at any depth, but through no link to a folder."""
    found = []
    for folder, subfolders, files in os.walk(source, followlinks=max_depth is not None):
        depth = len(Path(folder).relative_to(source).parts)
        shown = [name for name in subfolders if not name.startswith(".")]
        subfolders[:] = shown if max_depth is None or depth < max_depth else []
        found += [(Path(folder) / name).relative_to(source).as_posix() for name in files if not name.startswith(".")]
    return sorted(found)


def _is_utf8(path: str) -> bool:
    """Whether tables (and DVC) can hold a name."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
