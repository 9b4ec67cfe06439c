"""What a killed run leaves behind: entries of dead processes in DVC's lock file, stages that go on without their DVC.

DVC removes an entry whose process is gone by itself, with a warning per path. It does not when the number was given to another
process since (common in containers), nor when it was killed while writing the file: then every command of it fails until
somebody removes the file by hand.
"""

import json
from pathlib import Path

import psutil
from dvc.lock import Lock, LockError

from pipeline.contracts.outputs import write_text
from pipeline.errors import RunError

RWLOCK = Path(".dvc/tmp/rwlock")


def release_dead_locks(root: Path) -> list[int]:
    """Remove what dead processes hold in DVC's lock file.

    Args:
        root: the project's folder.

    Returns:
        The numbers of the dead processes, ascending; [0] for a lock file that was cut off while it was written.

    Raises:
        RunError: a living DVC, or a stage that lost its DVC, is at work in this project.
    """
    path = root / RWLOCK
    refuse_orphans(root)
    if not path.exists():
        return []
    try:
        with Lock(str(path.with_name("rwlock.lock"))):  # DVC holds it while it reads and writes the lock file
            commands = _holders(path)
            for pid, command in sorted(commands.items()):
                if _is_living_dvc(pid, path):
                    raise RunError(f"DVC is already at work here (process {pid}: {_short(command)}); wait for it, or stop it: kill {pid}")
            if commands:
                write_text(path, "{}")
    except LockError:
        raise RunError("DVC is already at work here and keeps its lock file to itself; wait until it ends, then run this again") from None
    return sorted(commands)


def _holders(path: Path) -> dict[int, str]:
    """Command by process number of everything that DVC's lock file names; {0: ""} when the file is cut off."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        entries = [*held.get("write", {}).values(), *(entry for readers in held.get("read", {}).values() for entry in readers)]
        return {int(entry["pid"]): str(entry["cmd"]) for entry in entries}
    except (ValueError, AttributeError, TypeError, KeyError):
        return {0: ""}


def refuse_orphans(root: Path) -> None:
    """Stop when a stage is at work that no DVC waits for (its own was killed): a second one would write the same files.

    Raises:
        RunError: naming the process.
    """
    for process in psutil.process_iter():
        try:
            arguments = process.cmdline()
            if "-m" not in arguments[:-1] or process.cwd() != str(root.resolve()):
                continue
        except psutil.Error:
            continue
        module = arguments[arguments.index("-m") + 1]
        if module.startswith("stages."):
            raise RunError(f"{module} is already at work here (process {process.pid}); wait for it, or stop it: kill {process.pid}")


def _is_living_dvc(pid: int, lock_file: Path) -> bool:
    """Whether the process that wrote the entry still lives: same number, started before the file was written, and a DVC."""
    if pid == 0:
        return False
    try:
        process = psutil.Process(pid)
        if process.create_time() > lock_file.stat().st_mtime + 1:  # a second for the rounding of the file system's clock
            return False
        return any(Path(argument).name == "dvc" for argument in process.cmdline())
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # of another user: better to ask than to cut into its work


def _short(command: str) -> str:
    """`/long/path/bin/dvc repro dit` -> `dvc repro dit`."""
    program, _, arguments = command.partition(" ")
    name = Path(program).name if Path(program).name != "__main__.py" else "dvc"
    return f"{name} {arguments}".strip()
