"""Retraining on the toy project, killed and undisturbed: pytest tests/pipeline/retrain/test_retrain.py"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pipeline.dvc_tool import dvc_command, dvc_environment
from pipeline.errors import RunError
from pipeline.git_tool import git
from pipeline.params import GateMetricParams
from pipeline.retrain.by_hand import promote, rollback
from pipeline.retrain.cycle import Retraining, idle, retrain
from pipeline.retrain.journal import Cycle
from pipeline.retrain.registry import champion, read_registry
from tests.faults.small_disk import small_disk
from tests.pipeline.retrain.toy_project import commit_all, make_project, put

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
def test_a_figure_that_the_champion_has_not_is_named_before_hours_of_training(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    retraining = Retraining(project, lambda _, step: step())
    retraining.warn_of_gate("model-0001")
    assert capsys.readouterr().err == "", "all figures of the gate are there"
    asked = replace(retraining.params.retrain.gate, not_worse=(GateMetricParams(metric="demo/svg/fvd_locl", better="lower"),))
    retraining.params = replace(retraining.params, retrain=replace(retraining.params.retrain, gate=asked))
    retraining.warn_of_gate("model-0001")
    assert "retrain.gate.not_worse has demo/svg/fvd_locl, by which model-0001 was not measured" in capsys.readouterr().err


@pytest.mark.slow
def test_a_better_model_is_promoted_and_what_cannot_be_used_goes_aside(project: Path) -> None:
    put(project / "data/incoming", ARRIVALS)
    outcome = retrain(project)
    assert (outcome.decision, outcome.model, outcome.champion) == ("promoted", "model-0002", "model-0002")
    untouched(project)
    row = read_registry(project)[-1]
    assert (row["new_files"], row["rejected_files"], row["warm_start"]) == (1, 4, "model-0001")
    # Both were measured with the four clips: the champion's stored figure was of three.
    assert json.loads(row["champion_metrics"])["demo/svg/fvd_local"] == 1000 - 6 + 0.04
    assert json.loads(row["metrics"])["demo/svg/fvd_local"] == 1000 - 10 + 0.04
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


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of an S3 server on loopback with an empty bucket `store`."""
    pytest.importorskip("dvc_s3")
    moto = pytest.importorskip("moto.server")
    for name, value in (("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(name, value)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    import s3fs

    s3fs.S3FileSystem(endpoint_url=address).mkdir("store")
    yield address
    server.stop()


def set_remote(root: Path, text: str) -> None:
    (root / ".dvc/config.local").write_text(f"[core]\n    remote = store\n['remote \"store\"']\n{text}")


@pytest.mark.slow
def test_a_remote_out_of_reach_loses_nothing_and_the_next_run_sends_it(project: Path, s3: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("where the remote's folder would have to be")
    set_remote(project, f"    url = {tmp_path}/file/store\n")
    outcome = retrain(project)
    assert outcome.decision == "nothing new" and outcome.champion == "model-0002"
    assert outcome.not_pushed.startswith("model-0001 could not be sent to the DVC remote store (dvc push failed in .retrain/publish: ")
    assert not any(row["pushed"] for row in read_registry(project) if row["event"] == "trained")
    with small_disk(tmp_path / "small", kilobytes=16) as small:
        if small is not None:
            set_remote(project, f"    url = {small}/store\n")
            assert "No space left" in retrain(project).not_pushed

    set_remote(project, f"    url = s3://store/project\n    endpointurl = {s3}\n")
    assert retrain(project).not_pushed == "" and idle(project) is not None
    assert all(row["pushed"] for row in read_registry(project))
    untouched(project)

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(project), str(clone))
    git(clone, "checkout", "-q", "champion")
    set_remote(clone, f"    url = s3://store/project\n    endpointurl = {s3}\n")
    subprocess.run(dvc_command("pull", "-q", "dit", "data/raw.dvc"), cwd=clone, env=dvc_environment(), check=True)
    assert (clone / "data/dit/dit.safetensors").read_text() == "10.0"
    assert (clone / "data/raw/a/4.mp4").read_text() == "4"
    (project / ".dvc/config.local").unlink()


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


@pytest.mark.slow
def test_an_import_is_brought_up_to_date_in_the_copy_alone(tmp_path: Path) -> None:
    root, source = tmp_path / "project", tmp_path / "source"
    put(source, CLIPS)
    make_project(root, {}, source="import")
    (root / "data/raw.dvc").unlink()
    (root / "data/raw").rmdir()
    subprocess.run(dvc_command("import-url", "-q", str(source), "data/raw"), cwd=root, env=dvc_environment(), check=True)
    commit_all(root)
    run = Retraining(root, lambda name, step: step())
    cycle = Cycle(2, run.base, "model-0001", done={"take": {"files": [], "refused": []}, "validate": {"refused": []}})
    assert run.version(cycle)["version"] == run.raw.version
    put(source, {"b/9.mp4": "9"})
    assert run.version(cycle)["version"] != run.raw.version
    assert (run.work.folder / "data/raw/b/9.mp4").read_text() == "9"
    untouched(root)
