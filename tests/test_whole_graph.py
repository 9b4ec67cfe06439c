"""The whole graph on a tiny preset, twice, byte for byte: pytest tests/test_whole_graph.py"""

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


@pytest.fixture(scope="module")
def clones(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two clones of the project with the tiny preset, each reproduced from nothing; side by side, for there are two of them."""
    folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    for folder in folders:
        clone_into(folder)
    command = dvc_command("repro")
    runs = [subprocess.Popen(command, cwd=folder, env=dvc_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for folder in folders]
    said = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], "\n".join(said[0].splitlines()[-30:] + said[1].splitlines()[-30:])
    return folders


@pytest.mark.slow
def test_two_reproductions_leave_the_same_bytes(clones: list[Path]) -> None:
    first, second = (yaml.safe_load((clone / "dvc.lock").read_text())["stages"] for clone in clones)
    assert list(first) == list(second) == list(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
    for stage, entry in first.items():
        assert entry["outs"] == second[stage]["outs"], f"{stage} wrote other bytes from the same input"
    assert (clones[0] / "dvc.lock").read_bytes() == (clones[1] / "dvc.lock").read_bytes()


@pytest.mark.slow
def test_every_stage_is_whole_and_git_sees_only_the_lock_file(clones: list[Path]) -> None:
    for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]:
        assert (clones[0] / "data" / stage / "_SUCCESS.json").is_file(), stage
    assert not list((clones[0] / "data/.wip").glob("*/*")), "no unfinished work is left"
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=clones[0], capture_output=True, text=True, check=True).stdout
    assert changed == "?? dvc.lock\n"


@pytest.mark.slow
def test_again_runs_nothing_by_dvc_or_by_the_flow(clones: list[Path]) -> None:
    again = said_by_dvc(clones[0], "repro")
    assert "Running stage" not in again and "Data and pipelines are up to date." in again
    flow = subprocess.run([sys.executable, "-m", "pipeline", "reproduce"], cwd=clones[0], capture_output=True, text=True, check=True)
    stages = len(yaml.safe_load((clones[0] / "dvc.yaml").read_text())["stages"])
    assert flow.stderr == f"reproduce    nothing to do, all {stages} stages are up to date; see: mmldm look\n"


@pytest.mark.slow
def test_the_results_can_be_looked_at(clones: list[Path]) -> None:
    shown = subprocess.run([sys.executable, "-m", "pipeline", "look"], cwd=clones[0], capture_output=True, text=True, check=True).stdout
    assert f"report    {clones[0] / 'data/report/index.html'}" in shown
    assert shown.count(".mp4") == 3
    metrics = said_by_dvc(clones[0], "metrics", "show")
    assert "data/evaluate/metrics.json" in metrics and "fvd_local" in metrics
    assert "dvc_plots/index.html" in said_by_dvc(clones[0], "plots", "show")


@pytest.mark.slow
@pytest.mark.parametrize("stage", list(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]))
def test_a_stage_killed_at_any_moment_goes_on_and_ends_with_the_same_bytes(stage: str, clones: list[Path]) -> None:
    second, out = clones[1], clones[1] / "data" / stage
    out.rename(clones[1] / "data" / f"{stage}.undisturbed")
    undisturbed = bytes_of(clones[1] / "data" / f"{stage}.undisturbed")
    moments = random.Random(stage)  # the moments are the same in every run, what the machine has done by then is not
    for _ in range(2):
        run = subprocess.Popen([sys.executable, "-m", f"stages.{stage}"], cwd=second, stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(moments.uniform(0.2, 6.0))
        run.kill()
        run.wait()
    subprocess.run([sys.executable, "-m", f"stages.{stage}"], cwd=second, check=True)
    assert bytes_of(out) == undisturbed
    assert not list((second / "data/.wip").glob("*/*")), "no unfinished work is left"


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
