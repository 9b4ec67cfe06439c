"""What follows from the registry, and is brought about again after every run: git tags, and the data in the DVC remote."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import RunError
from pipeline.git_tool import git
from pipeline.retrain.registry import Row, champion, trained, write_registry
from pipeline.retrain.workspace import Workspace, default_remote

CHAMPION_TAG = "champion"


def sync_tags(root: Path, rows: Sequence[Row]) -> None:
    """A tag `model-0007` for each model, and `champion`, which moves."""
    listed = git(root, "for-each-ref", "--format=%(refname) %(objectname)", "refs/tags").splitlines()
    have: dict[str, str] = {name: commit for name, _, commit in (line.partition(" ") for line in listed)}
    wanted = {row["model"]: row["commit"] for row in rows if row["event"] == "trained"}
    if champion(rows):
        wanted[CHAMPION_TAG] = trained(rows, champion(rows))["commit"]
    for name, commit in wanted.items():
        if have.get(f"refs/tags/{name}") != commit:
            git(root, "update-ref", f"refs/tags/{name}", commit)


def push(root: Path, rows: Sequence[dict[str, Any]], raw_dvc_file: str) -> str:
    """Send the models that are not in the default DVC remote yet: a promoted one whole, of a declined one the raw data.

    Returns:
        "", or why some could not be sent; the next run tries them again.
    """
    if default_remote(root) is None:
        return ""
    for row in rows:
        if row["pushed"]:
            continue
        copy = Workspace(root, "publish")
        try:
            copy.hold(row["commit"], {})
            copy.dvc("push", *([] if row["decision"] == "promoted" else [raw_dvc_file]))
        except RunError as error:
            return f"{row['model']} could not be sent to the DVC remote {default_remote(root)} ({error})"
        row["pushed"] = True
        write_registry(root, rows)
    return ""
