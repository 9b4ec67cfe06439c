"""The user's folder of videos, `<class>/<file>`: what `mmldm check` and the first stage ask of it."""

import os
from pathlib import Path

from pipeline.errors import DataError

LABELS = (".csv", ".parquet")
"""Endings of a table of labels; beside one, files may lie anywhere, which the inventory looks at."""


def require_class_folders(raw: Path, demo_clips: Path) -> int:
    """Make sure that `data.raw` holds at least one `<class>/<file>`, and no file that DVC, which hashes them all, could not read.

    Args:
        raw: the folder.
        demo_clips: what to set data.raw to for the demo set, for the error text.

    Returns:
        The number of class folders that hold files; may be 0 beside a table of labels.

    Raises:
        DataError: it does not; in one line with the next step.
    """
    way_out = f"set data.raw in params.yaml to your folder of <class>/<file>, or to {demo_clips} for the demo set"
    try:
        return _count_classes(raw, way_out)
    except OSError as error:
        raise DataError(f"data.raw is {raw}, where {error.filename} cannot be read ({error.strerror}); mend that, or {way_out}") from None


def _count_classes(raw: Path, way_out: str) -> int:
    if not raw.exists():
        raise DataError(f"data.raw is {raw}, which does not exist; {way_out}")
    if not raw.is_dir():
        raise DataError(f"data.raw is {raw}, which is a file, expected a folder; {way_out}")
    entries = sorted(entry for entry in raw.iterdir() if not entry.name.startswith("."))
    folders = [entry for entry in entries if entry.is_dir()]
    inside = raw / "<class>"
    if not entries:
        raise DataError(f"data.raw is {raw}, which is empty; put videos into {inside}, or {way_out}")
    if not folders and not any(entry.suffix.lower() in LABELS for entry in entries):
        raise DataError(f"data.raw is {raw}, which has {len(entries)} files but no class folders; move them into {inside}, or {way_out}")
    classes = [folder for folder in folders if any(_is_shown_file(path) for path in folder.iterdir())]
    if not classes and not any(entry.suffix.lower() in LABELS for entry in entries):
        deeper = next((folder for folder in folders if any(_is_shown_file(path) for path in folder.rglob("*"))), None)
        if deeper:
            raise DataError(f"data.raw is {raw}, whose folders hold folders, not files; set data.raw to {deeper}, or move the files up")
        raise DataError(f"data.raw is {raw}, whose {len(folders)} class folders hold no file; put videos into them, or {way_out}")
    for path in raw.rglob("*"):
        try:
            shown = str(path.relative_to(raw)).encode().decode()
        except UnicodeEncodeError:
            name = os.fsencode(path.name)
            raise DataError(f"data.raw is {raw}, in which the name {name!r} is not UTF-8; rename it, or {way_out}") from None
        if path.is_symlink() and path.is_dir():
            raise DataError(f"data.raw is {raw}, in which {shown} is a link to a folder, and DVC does not follow those; "
                            f"link the files one by one, or {way_out}")
        if not os.access(path, os.R_OK):
            state = "is a link to nothing" if path.is_symlink() and not path.exists() else "may not be read"
            raise DataError(f"data.raw is {raw}, in which {shown} {state}; mend or remove it, or {way_out}")
    return len(classes)


def _is_shown_file(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")
