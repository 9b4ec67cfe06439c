"""The raw data under DVC's version control: data.raw and the .dvc file beside it, and what a retrain adds."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

from pipeline.errors import RunError
from pipeline.git_tool import file_at
from pipeline.graph import load_graph
from pipeline.retrain.workspace import Workspace


@dataclass(frozen=True, slots=True)
class RawData:
    """Where it is, relative to the project."""

    path: str
    """The folder (`data.raw`)."""
    dvc_text: str
    """Its .dvc file in the user's commit."""

    @property
    def dvc_file(self) -> str:
        """Path of the .dvc file."""
        return f"{self.path}.dvc"

    @property
    def version(self) -> str:
        """DVC's hash of the folder in the user's commit."""
        return version_of(self.dvc_text)

    @property
    def is_import(self) -> bool:
        """Whether it comes from another repository or address, which `dvc update` asks for news."""
        return "deps" in yaml.safe_load(self.dvc_text)


def raw_data(root: Path, base: str, raw: str, source: str) -> RawData:
    """The raw data of a commit.

    Args:
        raw: `data.raw`.
        source: `retrain.source`.

    Raises:
        RunError: it lies outside of the project, is written by a stage, is not under version control, or is an import that files
            were to be added to (or the other way round).
    """
    path = PurePosixPath(os.path.relpath(root / raw, root))
    way = "put your videos into data/raw, set data.raw to it, then run: dvc add data/raw && git add -A && git commit -m data"
    if ".." in path.parts:
        raise RunError(f"data.raw is {raw}, outside of the project, where nothing can be put under version control; {way}")
    writer = next((stage.name for stage in load_graph(root).stages.values() if any(path.is_relative_to(out) for out in stage.outs)), None)
    if writer:
        raise RunError(f"data.raw is {raw}, which {writer} writes, so no file can be added to it; {way}")
    text = file_at(root, base, f"{path}.dvc")
    if text is None:
        raise RunError(f"data.raw is {raw}, which is not under version control in the last commit; "
                       f"run: dvc add {path} && git add {path}.dvc && git commit -m data")
    data = RawData(str(path), text)
    if data.is_import and source == "incoming":
        raise RunError(f"{data.dvc_file} is a DVC import, to which no file can be added; set retrain.source to import")
    if not data.is_import and source == "import":
        raise RunError(f"{data.dvc_file} is no DVC import; set retrain.source to incoming, or make one: dvc import-url (or dvc import)")
    return data


def version_of(dvc_text: str) -> str:
    """DVC's hash of what a .dvc file stands for."""
    try:
        return str(yaml.safe_load(dvc_text)["outs"][0]["md5"])
    except (yaml.YAMLError, TypeError, KeyError, IndexError):
        raise RunError("the .dvc file of data.raw has no hash; run: dvc add, then commit it") from None


def check_out(work: Workspace, path: str) -> None:
    """Fill a copy's raw data as its .dvc file says, from the cache, or from the remote where the cache has not got all of it."""
    work.check_out_data(f"{path}.dvc")
    (work.folder / path).mkdir(parents=True, exist_ok=True)


def is_taken(folder: Path, path: str) -> bool:
    """Whether the data has a file (or folder) of that name, or a file where its folder would be."""
    parents = [folder / parent for parent in PurePosixPath(path).parents if str(parent) != "."]
    return os.path.lexists(folder / path) or any(parent.is_file() for parent in parents)


def add_files(source: Path, target: Path) -> None:
    """Every file of `source` in `target` too, see `add_file`."""
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        add_file(file, target / file.relative_to(source))


def add_file(file: Path, place: Path) -> None:
    """A second name for a file's bytes, or a copy of them where the disk cannot link; a file that is there stays."""
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, place)
    except OSError:
        shutil.copyfile(file, place)
