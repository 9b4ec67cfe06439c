"""Figures of finished DVC experiments, by name: what `mmldm sweep` queued and `dvc queue start` ran."""

import json
import subprocess
from pathlib import Path
from typing import Any

from pipeline.dvc_tool import dvc_command, dvc_environment
from pipeline.errors import RunError

METRICS = "data/evaluate/metrics.json"


def experiment_metrics(root: Path) -> dict[str, dict[str, float]]:
    """Of every finished experiment of this repository, what its `data/evaluate/metrics.json` holds.

    Returns:
        Empty where there are none, or where the folder is no git repository.

    Raises:
        RunError: DVC cannot say; its own words.
    """
    if not (root / ".git").exists():
        return {}
    done = subprocess.run(dvc_command("exp", "show", "--json", "--all-commits", "--no-pager"), cwd=root, env=dvc_environment(),
                          capture_output=True, text=True)
    if done.returncode:
        raise RunError(f"dvc exp show failed: {' '.join(done.stderr.split()) or f'exit code {done.returncode}'}; run: mmldm check")
    return {name: figures for one in json.loads(done.stdout) for experiment in one.get("experiments") or []
            for name, figures in _metrics_of(experiment)}


def _metrics_of(experiment: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """(name, figures) of one entry of `dvc exp show`; none while it waits or when it failed."""
    found = []
    for revision in experiment.get("revs") or []:
        metrics = ((revision.get("data") or {}).get("metrics") or {}).get(METRICS, {}).get("data")
        if revision.get("name") and isinstance(metrics, dict):
            found.append((str(revision["name"]), metrics))
    return found
