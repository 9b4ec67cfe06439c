"""The whole graph on a tiny preset, then each stage again in another folder, byte for byte: pytest tests/test_whole_graph.py"""

import contextlib
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.dvc_tool import dvc_command, dvc_environment

ROOT = Path(__file__).resolve().parents[1]
CODE = ("pipeline", "stages", "dvc.yaml", ".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore", "data/.gitignore")
STAGES = list(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the project with the tiny preset, reproduced from nothing."""
    folder = tmp_path_factory.mktemp("first")
    clone_into(folder)
    run = subprocess.run(dvc_command("repro"), cwd=folder, env=dvc_environment(), capture_output=True, text=True, check=False)
    assert run.returncode == 0, "\n".join((run.stdout + run.stderr).splitlines()[-30:])
    return folder


@pytest.fixture(scope="module")
def elsewhere(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in another folder, without what stages remember, where every stage is to be run again."""
    return shutil.copytree(clone, tmp_path_factory.mktemp("second") / "moved", symlinks=True, ignore=shutil.ignore_patterns(".wip"))


@pytest.mark.slow
def test_every_stage_is_whole_and_git_sees_only_the_lock_file(clone: Path) -> None:
    for stage in STAGES:
        assert (clone / "data" / stage / "_SUCCESS.json").is_file(), stage
    assert not list((clone / "data/.wip").glob("*/*")), "no unfinished work is left"
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True).stdout
    assert changed == "?? dvc.lock\n"


@pytest.mark.slow
def test_again_runs_nothing_by_dvc_or_by_the_flow(clone: Path) -> None:
    again = said_by_dvc(clone, "repro")
    assert "Running stage" not in again and "Data and pipelines are up to date." in again
    flow = subprocess.run([sys.executable, "-m", "pipeline", "reproduce"], cwd=clone, capture_output=True, text=True, check=True)
    assert flow.stderr == f"reproduce    nothing to do, all {len(STAGES)} stages are up to date; see: mmldm look\n"


@pytest.mark.slow
def test_the_results_can_be_looked_at(clone: Path) -> None:
    shown = subprocess.run([sys.executable, "-m", "pipeline", "look"], cwd=clone, capture_output=True, text=True, check=True).stdout
    assert f"report    {clone / 'data/report/index.html'}" in shown
    assert shown.count(".mp4") == 3
    metrics = said_by_dvc(clone, "metrics", "show")
    assert "data/evaluate/metrics.json" in metrics and "fvd_local" in metrics
    assert "dvc_plots/index.html" in said_by_dvc(clone, "plots", "show")


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_killed_at_any_moment_goes_on_and_ends_with_the_bytes_of_the_first_run(stage: str, clone: Path, elsewhere: Path) -> None:
    out = elsewhere / "data" / stage
    shutil.rmtree(out)
    moments = random.Random(stage)  # the moments are the same in every run, what the machine has done by then is not
    for _ in range(2):
        run = subprocess.Popen([sys.executable, "-m", f"stages.{stage}"], cwd=elsewhere, stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(moments.uniform(0.2, 6.0))
        run.kill()
        run.wait()
    subprocess.run([sys.executable, "-m", f"stages.{stage}"], cwd=elsewhere, check=True)
    assert bytes_of(out) == bytes_of(clone / "data" / stage)
    assert not list((elsewhere / "data/.wip").glob("*/*")), "no unfinished work is left"


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def said_by_dvc(folder: Path, *arguments: str) -> str:
    """What a DVC command prints that must succeed."""
    command = dvc_command(*arguments)
    return subprocess.run(command, cwd=folder, env=dvc_environment(), capture_output=True, text=True, check=True).stdout


def clone_into(folder: Path) -> None:
    """A git repository of the code as it lies here (edits that are not committed included), with the tiny preset as params.yaml."""
    for name in CODE:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    shutil.copy(ROOT / "tests/presets/tiny.yaml", folder / "params.yaml")
    author = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q", "."], ["add", "-A"], [*author, "commit", "-q", "-m", "clone"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
