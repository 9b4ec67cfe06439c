"""`mmldm check`: what would stop a run before it has begun, each in one line with the next step."""

import os
import shutil
from pathlib import Path

import yaml

from pipeline.dvc_locks import release_dead_locks
from pipeline.errors import DataError, RunError
from pipeline.graph import Graph, load_graph
from pipeline.params import load_params

MIN_FREE_GIB = 2.0
"""The demo writes less than half of it; a real data set needs more, and a full disk stops a stage with one line as well."""


def check_project(root: Path) -> list[str]:
    """Look at params.yaml, the data, the disk and what a killed run left.

    Returns:
        What was found, a line each, for the user to read.

    Raises:
        UserError: the first thing that would stop a run.
    """
    params = load_params(root / "params.yaml")
    if not (root / ".git").exists():
        raise RunError("this folder is no git repository (a download without history?), which DVC needs; run: git init")
    check_lock_file(root / "dvc.lock")
    graph = load_graph(root)
    said = ["params.yaml is complete", check_raw(root, params.data.raw, graph), check_disk(root)]
    dead = release_dead_locks(root)
    if dead:
        said.append("removed a lock that a killed run had left; its stages go on where they stopped")
    return said


def check_raw(root: Path, raw: str, graph: Graph) -> str:
    """`data.raw` holds `<class>/<file>`, or is made by a stage of the graph.

    Raises:
        DataError: absent, no folder, empty, without class folders, or with a file that DVC, which hashes them all, could not read.
    """
    folder = root / raw  # an absolute path stays one
    for stage in graph.stages.values():
        if any(folder.resolve().is_relative_to((root / out).resolve()) for out in stage.outs):
            return f"data.raw is {raw}, which {stage.name} writes"
    if not folder.is_dir():
        state = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"params.yaml: data.raw is {raw}, which {state}; expected a folder <class>/<file>. Correct data.raw in params.yaml")
    visible = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    classes = [path for path in visible if path.is_dir() and any(child.is_file() for child in path.rglob("*"))]
    if not visible:
        raise DataError(f"params.yaml: data.raw is {raw}, which is empty; put videos there, in one folder per class: <class>/<file>")
    if not classes:
        loose = sum(path.is_file() for path in visible)
        raise DataError(f"params.yaml: data.raw is {raw}, which has {loose} files and no class folder with files; "
                        "move them into one folder per class: <class>/<file>")
    for path in folder.rglob("*"):
        if not os.access(path, os.R_OK):
            state = "is a link to nothing" if path.is_symlink() and not path.exists() else "may not be read"
            raise DataError(f"params.yaml: data.raw is {raw}, in which {path.relative_to(folder)} {state}; mend or remove it")
    return f"data.raw is {raw}, {len(classes)} class folders"


def check_disk(root: Path) -> str:
    """Enough room for a run to begin.

    Raises:
        RunError: less than `MIN_FREE_GIB` GiB.
    """
    free_gib = shutil.disk_usage(root).free / 2**30
    if free_gib < MIN_FREE_GIB:
        raise RunError(f"the disk that holds {root.resolve()} has {free_gib:.1f} GiB free, {MIN_FREE_GIB:g} needed; "
                       "free some, for instance with: dvc gc -w")
    return f"{free_gib:.0f} GiB free"


def check_lock_file(path: Path) -> None:
    """dvc.lock, if there, is whole (a full disk or a merge can leave half of one).

    Raises:
        RunError: it is no valid YAML.
    """
    if not path.exists():
        return
    try:
        whole = isinstance(yaml.load(path.read_text(encoding="utf-8"), Loader=_FAST_LOADER), dict)
    except yaml.YAMLError:
        whole = False
    if not whole:
        raise RunError("dvc.lock is cut off or holds marks of a merge; restore it: git checkout HEAD -- dvc.lock")


_FAST_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
