"""Outputs whose bytes were changed after DVC took them into its cache (a disk's fault, a copy that went wrong, an editor).

Outputs and cache share their bytes (hard links), so both are damaged at once; DVC trusts its cache and would put the damaged file back
as if it were right. Taken out of both, the stage makes the file again. Where another file was put in an output's place, the cache is as
it was: nothing is removed, and the user is told how to have the right one back.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.dvc_tool import cache_folder

LOCK = "dvc.lock"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Damage:
    """Paths relative to the project, sorted."""

    removed: list[str]
    """Damaged in the cache too, and taken out of both; their stages are not up to date any more."""
    replaced: list[str]
    """Another file lies in the place of the one that the cache still has."""


def remove_damaged(root: Path) -> Damage:
    """Take damaged files out of the outputs and of the cache.

    Only outputs whose size or time says that they were touched since are read.

    Args:
        root: the project's folder.
    """
    try:
        locked = yaml.load((root / LOCK).read_text(encoding="utf-8"), Loader=LOADER)["stages"]
        recorded_at = (root / LOCK).stat().st_mtime_ns
    except FileNotFoundError:
        return Damage([], [])
    outs: list[dict[str, Any]] = [out for stage in locked.values() for out in stage.get("outs", [])]
    touched = [out for out in outs if is_touched(root / out["path"], out, recorded_at)]
    cache = cache_folder(root) / "files/md5" if touched else root
    removed, replaced = list[str](), list[str]()
    for out in touched:
        for file, md5 in members(root / out["path"], str(out["md5"]), cache):
            original = cached(cache, md5)
            if not (file.is_file() and original.is_file()) or md5_of(file) == md5:
                continue
            linked = file.samefile(original)
            if linked:
                original.unlink()
                file.unlink()
            (removed if linked else replaced).append(file.relative_to(root).as_posix())
    return Damage(sorted(removed), sorted(replaced))


def is_touched(path: Path, out: dict[str, Any], recorded_at: int) -> bool:
    """Whether an output has another size or number of files than recorded, or one that is newer than the record."""
    files = [file.lstat() for file in (path.rglob("*") if path.is_dir() else [path] if path.is_file() else []) if not file.is_dir()]
    same = len(files) == out.get("nfiles", 1) and sum(state.st_size for state in files) == out.get("size")
    return bool(files) and not (same and all(state.st_mtime_ns <= recorded_at for state in files))


def members(path: Path, md5: str, cache: Path) -> list[tuple[Path, str]]:
    """(file, md5) of an output as DVC recorded it; none when the cache has not got the list."""
    if not md5.endswith(".dir"):
        return [(path, md5)]
    try:
        listed = json.loads(cached(cache, md5).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return []
    return [(path / entry["relpath"], entry["md5"]) for entry in listed]


def cached(cache: Path, md5: str) -> Path:
    """Where DVC's cache keeps a file."""
    return cache / md5[:2] / md5[2:]


def md5_of(file: Path) -> str:
    """As DVC names it; no protection against anybody, only against accidents."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
