"""A stage's output folder: written aside, renamed when whole, `_SUCCESS.json` last.

A stage killed at any moment leaves `<out>` as it was (DVC, which removes it first, leaves none) and its unfinished work in
`.wip/`, where the next run with the same signature (params, inputs, code, versions) takes it up; work of another signature is
thrown away. A second run of a stage beside the first is refused (run_lock.py).
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.contracts.remembered_hashes import RememberedHashes
from pipeline.contracts.run_lock import only_run
from pipeline.contracts.source_code import code_hash
from pipeline.errors import DataError
from pipeline.params_reader import to_values
from pipeline.processes import rank, wait_for_all

SUCCESS = "_SUCCESS.json"
VERSIONED = (
    "torch", "torchaudio", "torchvision", "diffusers", "transformers", "av", "decord", "librosa", "pillow", "scipy", "webdataset", "numpy",
    "pandas", "pyarrow",
)


def hash_file(path: Path) -> str:
    """sha256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class Work:
    """The unfinished output of a running stage."""

    folder: Path
    """Becomes the output folder; what a killed run left here is still here."""
    scratch: Path
    """Survives a kill too, and is no part of the output (checkpoints, caches)."""
    counts: dict[str, int]
    """What `_SUCCESS.json` reports; the stage fills it."""
    earlier: tuple[Path, ...] = ()
    """Folders in which finished pieces of other runs may lie, read-only: the last whole output first, then what killed runs of another
    signature left. Only for a stage that asks for them."""
    hash_of: Callable[[Path], str] = hash_file
    """sha256 of a file's bytes, hexadecimal; a kept file that nobody has touched is not read for it."""
    wrote: Callable[[Path, str], None] = lambda path, digest: None
    """Takes a file that the stage has just written and its sha256, so that this run need not read it again."""


@contextlib.contextmanager
def stage_output(
    out: Path, *, params: Mapping[str, object], inputs: Mapping[str, Path | str], code: Path, takes_over: bool = False,
) -> Iterator[Work]:
    """Write a stage's output folder atomically and resumably.

    Args:
        out: the output folder; replaced as a whole when the block ends without an error.
        params: the sections that the stage reads, by name (dataclasses or plain values).
        inputs: what it reads, by name: folders of earlier stages (their `_SUCCESS.json` is the identity), files, or a ready hash.
        code: the stage's package folder; an edit of it, or of anything that it imports, gives up unfinished work.
        takes_over: the stage knows finished pieces by their content (shard_writer.py), so that `Work.earlier` is filled, and work of
            another signature is kept until this run is whole.

    Yields:
        A `Work` whose folder may hold finished pieces of an interrupted run of the same signature. Several processes get the same one;
        the first of them makes it and turns it into the output.

    Raises:
        RunError: another run is writing this output.
    """
    locked = only_run(out.parent / ".wip" / f"{out.name}.lock", out) if rank() == 0 else contextlib.nullcontext()
    with locked:
        yield from _stage_output(out, params, inputs, code, takes_over)


def _stage_output(
    out: Path, params: Mapping[str, object], inputs: Mapping[str, Path | str], code: Path, takes_over: bool,
) -> Iterator[Work]:
    effective = {name: to_values(section) for name, section in params.items()}
    hashes = {name: source if isinstance(source, str) else identity(source) for name, source in inputs.items()}
    signature = _digest(json.dumps([effective, hashes, code_hash(code.rglob("*.py")), versions()], sort_keys=True))[:16]
    rooms = out.parent / ".wip" / out.name
    room = rooms / signature
    others = [other for other in sorted(rooms.iterdir()) if other.name != signature] if rooms.is_dir() else []
    if not takes_over and rank() == 0:
        for other in others:
            shutil.rmtree(other)
    retired = room / "retired"
    hashes_of_files = RememberedHashes(rooms.with_name(f"{out.name}.hashes.json"), hash_file)
    left = [out, retired, *(other / name for other in others for name in ("out", "scratch", "retired"))]
    work = Work(folder=room / "out", scratch=room / "scratch", counts={},
                earlier=tuple(folder for folder in left if takes_over and folder.is_dir()), hash_of=hashes_of_files,
                wrote=hashes_of_files.wrote)
    if rank() == 0:
        if room.exists() and not work.folder.exists():
            # Killed just after its output was taken: nothing in it is unfinished.
            shutil.rmtree(room)
        work.folder.mkdir(parents=True, exist_ok=True)
        work.scratch.mkdir(exist_ok=True)
    wait_for_all()
    yield work
    if rank() != 0:
        return
    # No time and no place in it: two reproductions leave the same bytes.
    record = {"stage": out.name, "counts": work.counts, "params": effective, "inputs": hashes, "versions": versions(),
              "content": content_hash(work.folder, hash_of=hashes_of_files)}
    write_text(work.folder / SUCCESS, json.dumps(record, indent=1, sort_keys=True) + "\n")
    if out.exists():
        shutil.rmtree(retired, ignore_errors=True)
        out.rename(retired)
    work.folder.rename(out)
    shutil.rmtree(rooms)
    hashes_of_files.save()


def identity(source: Path) -> str:
    """Hash that stands for an input: of a stage's `_SUCCESS.json`, of a file, or of a plain folder's listing with sizes.

    Raises:
        DataError: the input is absent, or a stage's folder is not whole.
    """
    if source.is_file():
        return hash_file(source)
    if not source.is_dir():
        raise DataError(f"{source} does not exist; run: dvc repro {source.name}")
    if (source / SUCCESS).is_file():
        return hash_file(source / SUCCESS)
    listing = sorted((str(p.relative_to(source)), p.stat().st_size) for p in source.rglob("*") if p.is_file())
    return _digest(json.dumps(listing))


def require_whole(folder: Path) -> Path:
    """`folder` if an earlier stage finished it.

    Raises:
        DataError: naming the stage to run.
    """
    if not (folder / SUCCESS).is_file():
        raise DataError(f"{folder} is not whole (no {SUCCESS}); run: dvc repro {folder.name}")
    return folder


def require_unchanged(folder: Path) -> Path:
    """`folder` if it holds the files that its stage left, byte for byte; those that nobody has touched since they were read are not read.

    Raises:
        DataError: a file was changed, added or lost.
    """
    known = RememberedHashes(folder.parent / ".wip" / f"{folder.name}.hashes.json", hash_file)
    if content_hash(folder, hash_of=known) != read_success(folder)["content"]:
        raise DataError(f"{folder} is not as its stage left it (a file was changed, added or lost); "
                        f"run: mmldm check, then: dvc checkout --force {folder}")
    with contextlib.suppress(OSError):  # somebody else's folder
        known.save()
    return folder


def read_success(folder: Path) -> dict[str, object]:
    """The `_SUCCESS.json` of a finished stage: counts, params, inputs, versions."""
    return json.loads((require_whole(folder) / SUCCESS).read_text())


def write_text(path: Path, text: str) -> None:
    """Write a small text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` when the block ends without an error."""
    temporary = path.with_name(f".{path.name}.tmp")
    yield temporary
    os.replace(temporary, path)


def content_hash(folder: Path, endings: tuple[str, ...] = ("",), hash_of: Callable[[Path], str] = hash_file) -> str:
    """Hash of every file of an output but its `_SUCCESS.json`: by it a later stage knows its input, whatever code wrote it.

    Args:
        endings: of the names that count, such as (".safetensors", "config.json") for a network without its metrics.
        hash_of: sha256 of a file's bytes.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / SUCCESS and path.name.endswith(endings))
    return _digest("".join(f"{path.relative_to(folder).as_posix()}:{hash_of(path)};" for path in files))


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide the bytes of an output."""
    found = {"python": platform.python_version()}
    for name in VERSIONED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
