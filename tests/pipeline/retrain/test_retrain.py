"""Retraining on the toy project, killed and undisturbed: pytest tests/pipeline/retrain/test_retrain.py"""

import json
import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from pipeline.errors import RunError
from pipeline.git_tool import git
from pipeline.retrain.by_hand import promote, rollback
from pipeline.retrain.cycle import idle, retrain
from pipeline.retrain.registry import champion, read_registry
from tests.pipeline.retrain.toy_project import make_project, put

ROOT = Path(__file__).resolve().parents[3]
CLIPS = {"a/1.mp4": "1", "a/2.mp4": "2", "b/3.mp4": "3"}
ARRIVALS = {"a/4.mp4": "4", "b/bad.mp4": "broken", "a/1.mp4": "7", "c/same.mp4": "2", "notes.txt": "hello"}
KILLS = 20


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its first champion; the tests of this file go on with it in their order."""
    root = tmp_path_factory.mktemp("retrain") / "project"
    make_project(root, CLIPS, warm_start=True)
    first = retrain(root)
    assert (first.decision, first.champion) == ("promoted", "model-0001")
    return root


def untouched(root: Path) -> None:
    """The user's tree holds what the user committed, and no more."""
    assert git(root, "status", "--porcelain") == ""
    assert sorted(path.relative_to(root / "data/raw").as_posix() for path in (root / "data/raw").rglob("*.mp4")) == sorted(CLIPS)
    assert sorted(path.name for path in (root / "data").iterdir() if path.name.startswith(("klvae", "dit", "evaluate"))) == []


@pytest.mark.slow
def test_without_new_data_it_says_so_at_once(project: Path) -> None:
    started = time.monotonic()
    found = idle(project)
    assert found is not None and found.reason == "nothing new in data/incoming; the champion is model-0001"
    assert time.monotonic() - started < 5


@pytest.mark.slow
def test_a_better_model_is_promoted_and_what_cannot_be_used_goes_aside(project: Path) -> None:
    put(project / "data/incoming", ARRIVALS)
    outcome = retrain(project)
    assert (outcome.decision, outcome.model, outcome.champion) == ("promoted", "model-0002", "model-0002")
    untouched(project)
    row = read_registry(project)[-1]
    assert (row["new_files"], row["rejected_files"], row["warm_start"]) == (1, 4, "model-0001")
    # Both were measured with the four clips: the champion's stored figure was of three.
    assert json.loads(row["champion_metrics"])["svg/fvd_local"] == 1000 - 6 + 0.04
    assert json.loads(row["metrics"])["svg/fvd_local"] == 1000 - 10 + 0.04
    assert git(project, "rev-parse", "champion") == git(project, "rev-parse", "model-0002") == row["commit"]
    committed = yaml.safe_load(git(project, "show", "champion:params.yaml"))
    assert committed["warm_start"]["dit"] == "data/start/model-0001/dit"
    reasons = dict(line.split(",")[:2] for line in (project / "data/incoming_rejected/reasons.csv").read_text().splitlines()[1:])
    assert reasons == {"a/1.mp4": "name_taken", "b/bad.mp4": "not_media", "c/same.mp4": "duplicate", "notes.txt": "not_a_video"}
    assert not [path for path in (project / "data/incoming").rglob("*") if path.is_file()]


@pytest.mark.slow
def test_a_worse_model_is_declined_and_can_be_promoted_by_hand_and_rolled_back(project: Path) -> None:
    put(project / "data/incoming", {"b/5.mp4": "-6"})
    outcome = retrain(project)
    assert (outcome.decision, outcome.model, outcome.champion) == ("declined", "model-0003", "model-0002")
    assert "svg/fvd_local is worse: 996 against 990" in outcome.reason
    promote(project, "model-0003")
    assert git(project, "rev-parse", "champion") == git(project, "rev-parse", "model-0003")
    rollback(project)
    assert git(project, "rev-parse", "champion") == git(project, "rev-parse", "model-0002")
    untouched(project)


@pytest.mark.slow
def test_an_edit_that_is_not_committed_stops_it_and_nothing_is_taken(project: Path) -> None:
    put(project / "data/incoming", {"a/6.mp4": "6"})
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text + "# half an edit\n")
    with pytest.raises(RunError, match=r"^params\.yaml changed since the last commit, and retrain works from commits; commit or stash it"):
        retrain(project)
    assert (project / "data/incoming/a/6.mp4").exists()
    (project / "params.yaml").write_text(text)
    (project / "data/incoming/a/6.mp4").unlink()


@pytest.mark.slow
def test_twenty_kills_leave_what_no_kill_leaves(project: Path, tmp_path: Path) -> None:
    """Killed at random moments, it ends with the commit of the undisturbed project: same data, same dvc.lock, same decision."""
    killed_one = tmp_path / "project"
    make_project(killed_one, CLIPS, warm_start=True)
    retrain(killed_one)
    put(killed_one / "data/incoming", ARRIVALS)
    dice, num_killed = random.Random(7), 0
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", "from pathlib import Path; from pipeline.retrain.cycle import retrain; retrain(Path('.'))"]
    for _ in range(KILLS):
        run = subprocess.Popen(command, cwd=killed_one, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
        with suppress(subprocess.TimeoutExpired):
            run.wait(dice.uniform(0.3, 2.5))
        num_killed += run.poll() is None
        run.kill()
        run.wait()
        untouched(killed_one)
        rows = read_registry(killed_one)
        assert champion(rows) == ("model-0002" if len(rows) == 2 else "model-0001"), "only a model that has passed the gate is champion"
    assert num_killed >= KILLS // 4, "most runs were killed before they had nothing left to do"
    retrain(killed_one)
    rows, undisturbed = read_registry(killed_one), read_registry(project)
    for name in ("commit", "decision", "data_version", "metrics", "champion_metrics", "new_files", "rejected_files"):
        assert rows[1][name] == undisturbed[1][name], name
    kept = [file.read_text() for folder in ("incoming", "incoming_rejected") for file in (killed_one / "data" / folder).rglob("bad*")]
    assert kept == ["broken"]
