"""`mmldm check`: what would stop a run before it has begun, each in one line with the next step."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import yaml

from pipeline.damage import remove_damaged
from pipeline.dvc_locks import release_dead_locks
from pipeline.errors import DataError, RunError
from pipeline.graph import Graph, load_graph
from pipeline.params import load_params
from pipeline.raw_folder import require_class_folders

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
    check_not_outputs(root, params.data.raw)
    graph = load_graph(root)
    said = ["params.yaml is complete", check_raw(root, params.data.raw, graph, params.inventory.labels), check_disk(root)]
    dead = release_dead_locks(root)
    if dead:
        said.append("removed a lock that a killed run had left; its stages go on where they stopped")
    damage = remove_damaged(root)
    if damage.removed:
        said.append(f"removed {first_of(damage.removed)}, damaged since it was made; the next run makes it again")
    if damage.replaced:
        said.append(f"{first_of(damage.replaced)} is not what its stage made; to have that back: dvc checkout --force "
                    "(dvc repro makes it again)")
    return said


def first_of(paths: Sequence[str]) -> str:
    """ "a and 2 more"."""
    return paths[0] + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")


def check_not_outputs(root: Path, raw: str) -> None:
    """`data.raw` is not the folder that holds the stages' outputs.

    Raises:
        DataError: it is; the graph would be a circle.
    """
    if (root / "data").resolve().is_relative_to((root / raw).resolve()):
        raise DataError(f"data.raw is {raw}, which holds the stages' outputs too; move your videos to data/raw and name that")


def check_raw(root: Path, raw: str, graph: Graph, labels: str | None = None) -> str:
    """`data.raw` holds `<class>/<file>`, or files and the table `labels`, or is made by a stage of the graph.

    Raises:
        DataError: the table is not there; see `pipeline.raw_folder.require_class_folders` for the rest.
    """
    folder = root / raw  # an absolute path stays one
    for stage in graph.stages.values():
        if any(folder.resolve().is_relative_to((root / out).resolve()) for out in stage.outs):
            return f"data.raw is {raw}, which {stage.name} writes"
    classes = require_class_folders(folder, demo_clips=Path("data/demo_data/clips"))
    if labels is not None:
        if not (folder / labels).is_file():
            raise DataError(f'inventory.labels is "{labels}", but {folder / labels} is not there; put the table into data.raw')
        return f"data.raw is {raw}, its labels are in {labels}"
    if not classes:
        raise DataError(f"data.raw is {raw}, which has a table but no class folders; name the table in inventory.labels")
    return f"data.raw is {raw}, {classes} class folder{'s' * (classes != 1)}"


def check_disk(root: Path) -> str:
    """Enough room for a run to begin.

    Raises:
        RunError: less than `MIN_FREE_GIB` GiB.
    """
    free_gib = shutil.disk_usage(root).free / 2**30
    if free_gib < MIN_FREE_GIB:
        raise RunError(f"the disk that holds {root.resolve()} has {free_gib:.1f} GiB free, {MIN_FREE_GIB:g} needed; "
                       "free some, for instance with: dvc gc --workspace --all-tags")
    return f"{free_gib:.0f} GiB free"


def check_lock_file(path: Path) -> None:
    """dvc.lock, if there, is whole (a full disk or a merge can leave half of one).

    Raises:
        RunError: it is no valid YAML.
    """
    if not is_whole_lock(path):
        raise RunError("dvc.lock is cut off or holds marks of a merge; restore it: git checkout HEAD -- dvc.lock "
                       "(where git has none: rm dvc.lock)")


def is_whole_lock(path: Path) -> bool:
    """Whether a dvc.lock can be read, or is not there."""
    try:
        return not path.exists() or isinstance(yaml.load(path.read_text(encoding="utf-8"), Loader=_FAST_LOADER), dict)
    except (yaml.YAMLError, UnicodeDecodeError):
        return False


_FAST_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
