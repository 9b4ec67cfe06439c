"""What lies in the data folder: `<class>/<file>`, sorted, nothing passed over without a word."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import DataError

VIDEO_ENDINGS = frozenset((
    ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".m1v", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".mxf", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv",
))


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a data folder."""

    candidates: list[str]
    """Paths `<class>/<file>` with a video's ending, sorted, "/" between folders."""
    rejected: list[dict[str, object]]
    """Videos at a wrong place (rows of `rejected.parquet`)."""
    ignored: dict[str, int]
    """Count of files that do not look like videos, by ending; hidden files are not looked at."""


def list_files(source: Path) -> Listing:
    """Walk the data folder.

    Raises:
        DataError: the folder is missing or empty, or has no class folders.
    """
    if not source.is_dir():
        raise DataError(f'data.raw is "{source}", which is {"a file" if source.exists() else "not there"}; '
                        "expected a folder <class>/<file>: set data.raw in params.yaml")
    paths = _walk(source)
    videos = [path for path in paths if Path(path).suffix.lower() in VIDEO_ENDINGS]
    if not videos:
        found = f"{len(paths)} files, none with a video's ending" if paths else "nothing"
        raise DataError(f'data.raw ("{source}") holds {found}; expected videos as <class>/<file>.mp4: '
                        "put them there or set data.raw in params.yaml")
    depths = {path: path.count("/") for path in videos}
    if not any(depth >= 1 for depth in depths.values()):
        raise DataError(f'data.raw ("{source}") has no class folders, its {len(videos)} videos lie side by side; expected <class>/<file>: '
                        f"make one folder per class (one alone will do) and move them, such as {source}/my_class/{videos[0]}")
    rejected: list[dict[str, object]] = [
        {"source_path": path, "reason": "outside_class_folder" if depth == 0 else "nested_folder", "detail": "expected <class>/<file>"}
        for path, depth in depths.items() if depth != 1
    ]
    ignored = Counter(Path(path).suffix.lower() or "no ending" for path in paths if path not in depths)
    return Listing([path for path in videos if depths[path] == 1], rejected, dict(sorted(ignored.items())))


def _walk(source: Path) -> list[str]:
    found = []
    for folder, subfolders, files in os.walk(source, followlinks=True):
        # Three levels tell a nested file from a good one; a link that leads back up cannot run on for ever.
        depth = len(Path(folder).relative_to(source).parts)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")] if depth < 3 else []
        found += [(Path(folder) / name).relative_to(source).as_posix() for name in files if not name.startswith(".")]
    return sorted(found)
