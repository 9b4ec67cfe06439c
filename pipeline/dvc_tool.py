"""How DVC is called: the one of this environment, quiet, with this environment's `python` for the stages."""

import json
import os
import subprocess
import sys
from pathlib import Path

from pipeline.errors import RunError
from pipeline.quiet import silence_tools


def dvc_command(*arguments: str) -> list[str]:
    """The command line of a DVC call; options of `dvc` itself (`--wait-for-lock`) come first."""
    return [sys.executable, "-m", "dvc", *arguments]


def dvc_environment() -> dict[str, str]:
    """This process's environment, silenced, in which `python` is the one that runs now (stages are `python -m stages.<name>`)."""
    environment = dict(os.environ)
    silence_tools(environment)
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    return environment


def dvc_status(root: Path) -> dict[str, object]:
    """What `dvc status` finds changed, by stage name; a stage whose inputs are as they were is absent.

    Raises:
        RunError: DVC cannot say (broken dvc.yaml or dvc.lock, a lock held); its own words, in one line.
    """
    done = subprocess.run(dvc_command("status", "--json"), cwd=root, env=dvc_environment(), capture_output=True, text=True)
    if done.returncode != 0:
        said = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.strip()]
        raise RunError(f"dvc status failed: {said[0] if said else f'exit code {done.returncode}'}; run: mmldm check")
    return dict(json.loads(done.stdout))


def cache_folder(root: Path) -> Path:
    """Where DVC keeps the bytes of the project's outputs."""
    from dvc.config import Config  # imports take a while

    return Path(Config(str(root / ".dvc"), validate=False).get("cache", {}).get("dir") or root / ".dvc/cache")
