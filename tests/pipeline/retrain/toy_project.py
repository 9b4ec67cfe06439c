"""The toy of toy.py as a project under git and DVC, with a copy of the tiny preset."""

import os
import shutil
import subprocess
from pathlib import Path

import yaml

from pipeline.dvc_tool import dvc_command, dvc_environment
from tests.pipeline.retrain.toy import STAGES

TOY = Path(__file__).with_name("toy.py")
PRESET = Path(__file__).parents[2] / "presets" / "tiny.yaml"


def make_project(root: Path, clips: dict[str, str], **changed: object) -> None:
    """A git repository with the stages and clips, in the state in which a user starts a retrain: all committed.

    Args:
        root: folder to make.
        clips: text by path in data/raw.
        changed: values of the section `retrain`.
    """
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc/config").write_text("[core]\n    analytics = false\n[cache]\n    type = hardlink,copy\n")
    (root / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (root / "data").mkdir()
    (root / "data/.gitignore").write_text("*\n!.gitignore\n!*.dvc\n")
    (root / ".gitignore").write_text(".retrain/\n.prefect/\n__pycache__/\n")
    (root / ".dvcignore").write_text(".retrain\n.prefect\n__pycache__\n")
    shutil.copy(TOY, root)
    params = yaml.safe_load(PRESET.read_text())
    params["data"]["raw"] = "data/raw"
    params["retrain"] |= {"settle_sec": 0.1, **changed}
    params["retrain"]["gate"] |= {"at_most": [{"metric": "copied", "limit": 0.0}]}
    warm = params.pop("warm_start")
    line = "warm_start: {" + ", ".join(f"{name}: {value or 'null'}" for name, value in warm.items()) + "}\n"
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False) + line)
    stages = {name: {"cmd": f"python toy.py {name}", "params": ["warm_start.dit"] if name == "dit" else ["seed"], "deps": ["toy.py", *deps],
                     "outs": [{f"data/{name}": {"persist": True}} if persist else f"data/{name}"]}
              for name, (deps, persist) in STAGES.items()}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    (root / "data/raw").mkdir()
    put(root / "data/raw", clips)
    subprocess.run(["git", "init", "-q", "."], cwd=root, check=True)
    subprocess.run(dvc_command("add", "-q", "data/raw"), cwd=root, env=dvc_environment(), check=True)
    commit_all(root)


def put(folder: Path, clips: dict[str, str]) -> None:
    """Write clips into a folder."""
    for path, text in clips.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def commit_all(root: Path, message: str = "edit") -> None:
    """Commit what lies there, always at the same time of day, so that two projects of the same files have the same commits."""
    dated = {**os.environ, "GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2001-01-01T00:00:00Z"}
    for command in (["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", message]):
        subprocess.run(["git", *command], cwd=root, check=True, env=dated)
