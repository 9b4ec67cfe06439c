"""`mmldm reproduce` on a small graph of shell commands: pytest tests/pipeline/flows/test_reproduce.py"""

import json
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.dvc_tool import dvc_command, dvc_environment
from tests.pipeline.flows.conftest import make_project, mmldm, start_mmldm

ENDLESS = {"demo_data": {"cmd": "echo $$ > started; sleep 600"}}


@pytest.mark.slow
def test_the_flow_leaves_what_dvc_repro_leaves(project: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin"
    shutil.copytree(project, twin)
    code, said = mmldm(project, "reproduce")
    assert code == 0, said
    assert said[0] == "reproduce    to run: demo_data, left, right, join | up to date: none"
    assert said[1].startswith("reproduce    to watch it while it runs: http://127.0.0.1:")
    assert said[-1].startswith("reproduce    done in ") and "| ran demo_data " in said[-1]
    assert said[-1].endswith(" | up to date none; see: mmldm look")
    assert (project / "data/join/all").read_text() == "a\n"
    assert (project / ".prefect").is_dir(), "Prefect keeps its database in the project"
    assert not processes_in(project)

    for stage in ("demo_data", "join"):  # left and right wait for each other, so the twin takes them over as they are
        (twin / "signs").mkdir(exist_ok=True)
        for side in ("left", "right"):
            (twin / "signs" / side).touch()
        subprocess.run(dvc_command("repro", "-q", stage), cwd=twin, env=dvc_environment(), check=True, capture_output=True)
    assert (project / "dvc.lock").read_bytes() == (twin / "dvc.lock").read_bytes()

    code, said = mmldm(project, "reproduce")
    assert (code, said) == (0, ["reproduce    nothing to do, all 4 stages are up to date; see: mmldm look"])


@pytest.mark.slow
def test_a_failed_stage_stops_what_depends_on_it_and_the_page_tells_all(tmp_path: Path, server: str) -> None:
    root = make_project(tmp_path / "project", left={"cmd": "mkdir -p data/left signs; touch signs/left; echo left: a bad clip >&2; exit 3"})
    code, said = mmldm(root, "reproduce", "--force", "demo_data", api=server)
    assert code == 1 and not any("Traceback" in line for line in said)
    assert said[-1].startswith("reproduce: left failed (left: a bad clip) | ran demo_data "), said[-1]
    assert said[-1].endswith(" | up to date none | not started join | then go on with: mmldm reproduce"), "demo_data is not forced again"
    run, = (run for run in asked(server, "flow_runs/filter", {}) if run["parameters"]["root"] == str(root))
    assert (run["name"], run["state"]["type"]) == ("mmldm reproduce --force demo_data", "FAILED")
    of_this_run = {"flow_runs": {"id": {"any_": [run["id"]]}}}
    tasks = {task["name"]: task["state"]["type"] for task in asked(server, "task_runs/filter", of_this_run)}
    assert tasks == {"demo_data": "COMPLETED", "left": "FAILED", "right": "COMPLETED", "join": "PENDING"}
    logs = {line["message"] for line in asked(server, "logs/filter", {"logs": {"flow_run_id": {"any_": [run["id"]]}}})}
    assert {"left: a bad clip", "right 1/1 (100%)"} <= logs
    artifacts = {artifact["key"]: artifact["data"] for artifact in asked(server, "artifacts/filter", of_this_run)}
    assert artifacts["right-progress"] == 100.0
    assert artifacts["demo-data-summary"].startswith("**demo_data** ran in ")

    code, said = mmldm(root, "reproduce", "--dry-run")
    assert code == 0 and said[-1] == "reproduce    to run: left, join | up to date: demo_data, right"
    assert "data/left modified" in said[0] and "final modified" in said[1], "each says why"
    code, said = mmldm(root, "reproduce", "--from", "join")
    assert (code, said[-1]) == (1, "reproduce: join needs data/left, which left has not made yet; begin there: mmldm reproduce --from left")
    code, said = mmldm(root, "reproduce", "--to", "rigth")
    assert (code, said[-1]) == (1, 'reproduce: --to: there is no stage "rigth"; did you mean "right"?')


@pytest.mark.slow
def test_whatever_ends_the_flow_leaves_no_process_and_no_lock_and_what_may_pass_is_tried_again(tmp_path: Path, server: str) -> None:
    ends = {"ctrl-c": signal.SIGINT, "kill": signal.SIGTERM, "closed terminal": signal.SIGHUP, "kill -9": signal.SIGKILL, "page": None}
    roots = {name: make_project(tmp_path / name / "project", **ENDLESS) for name in ends}
    flows = {name: start_mmldm(root, "reproduce", "--to", "demo_data", api=server) for name, root in roots.items()}
    passing = make_project(tmp_path / "passing/project", demo_data={
        "cmd": "if [ ! -e tried ]; then touch tried; exit 75; fi; mkdir -p data/demo_data/clips"})
    retried = start_mmldm(passing, "reproduce", "--to", "demo_data", api=server)
    for root in roots.values():
        wait_until(lambda root=root: (root / "started").exists() and bool((root / "started").read_text().strip()))
    for name, number in ends.items():
        if number is not None:
            flows[name].send_signal(number)
    for run in asked(server, "flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}):
        if run["parameters"]["root"] == str(roots["page"]):
            asked(server, f"flow_runs/{run['id']}/set_state", {"state": {"type": "CANCELLING"}})
    for name, flow in flows.items():
        said = flow.communicate(timeout=180)[0].splitlines()
        assert flow.returncode == (-signal.SIGKILL if name == "kill -9" else 130), name
        assert name == "kill -9" or said[-1] == (
            "reproduce    stopped | ran none | up to date none | interrupted demo_data | finished work is kept, "
            "go on with: mmldm reproduce --to demo_data"), (name, said)
    for name, root in roots.items():
        wait_until(lambda root=root: not processes_in(root), 15)
        assert mmldm(root, "check")[0] == 0, name
    said = retried.communicate(timeout=180)[0].splitlines()
    assert retried.returncode == 0, said
    assert "demo_data    failed, but that may pass (the stage asked for it); starts again in 10s" in said


@pytest.mark.slow
def test_a_server_that_goes_away_takes_no_stage_with_it(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project", demo_data={
        "cmd": "touch started; while [ ! -e gone ]; do sleep 0.2; done; mkdir -p data/demo_data/clips; echo a > data/demo_data/clips/a"})
    flow = start_mmldm(root, "reproduce")
    wait_until((root / "started").exists)
    for process in psutil.Process(flow.pid).children(recursive=True):
        if "prefect" in process.cmdline():
            process.kill()
    (root / "gone").touch()
    said = flow.communicate(timeout=180)[0].splitlines()
    assert flow.returncode == 0, said
    assert said[-1].startswith("reproduce    Prefect's server is gone, the stages are not | ran demo_data ")
    assert mmldm(root, "reproduce")[1] == ["reproduce    nothing to do, all 4 stages are up to date; see: mmldm look"]


def asked(server: str, path: str, body: dict[str, Any]) -> Any:
    """What the server answers."""
    request = urllib.request.Request(f"{server}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
        return json.load(answer)


def processes_in(root: Path) -> list[str]:
    """Processes that work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(root):
                found.append(" ".join(process.cmdline()))
        except (psutil.Error, OSError):
            pass
    return found


def wait_until(true: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)
