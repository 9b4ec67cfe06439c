"""`mmldm reproduce` on a small graph of shell commands: pytest tests/pipeline/flows/test_reproduce.py"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from pipeline.dvc_tool import dvc_command, dvc_environment

TINY = Path(__file__).resolve().parents[2] / "presets" / "tiny.yaml"
# `left` and `right` each wait for the other's sign: run one after the other they would fail.
MEET = "mkdir -p data/{me} signs; touch signs/{me}; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "\
       "if [ -e signs/{other} ]; then exit 0; fi; sleep 1; done; exit 1"
STAGES = {
    "demo_data": {"cmd": "mkdir -p data/demo_data/clips; cat seed > data/demo_data/clips/seed", "deps": ["seed"],
                  "outs": ["data/demo_data"]},
    "left": {"cmd": MEET.format(me="left", other="right"), "deps": ["${data.raw}"], "outs": ["data/left"]},
    "right": {"cmd": MEET.format(me="right", other="left"), "deps": ["${data.raw}"], "outs": ["data/right"]},
    "join": {"cmd": "mkdir -p data/join; cat final > data/join/all", "deps": ["data/left", "data/right", "final"], "outs": ["data/join"]},
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of four stages, none of which has run."""
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc/config").write_text("[core]\n    analytics = false\n    site_cache_dir = ../site_cache\n")
    (root / "data").mkdir()
    (root / ".gitignore").write_text("/data/*\n/signs/\n.prefect/\n")
    (root / ".dvcignore").write_text(".prefect\n")
    (root / "seed").write_text("7\n")
    (root / "final").write_text("a\n")
    shutil.copy(TINY, root / "params.yaml")
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}, sort_keys=False))
    subprocess.run(["git", "init", "-q", "."], cwd=root, check=True)
    return root


def mmldm(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pipeline", *arguments], cwd=root, capture_output=True, text=True, timeout=100,
                          env=own_environment())


def own_environment() -> dict[str, str]:
    """Without this machine's settings of Prefect: the project's own have to be enough."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}


@pytest.mark.slow
def test_the_flow_leaves_what_dvc_repro_leaves(project: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin"
    shutil.copytree(project, twin)
    done = mmldm(project, "reproduce")
    assert done.returncode == 0, done.stderr
    assert "to run: demo_data, left, right, join" in done.stderr
    assert done.stderr.splitlines()[-1].endswith("4 stages brought up to date; see: mmldm look")
    assert (project / "data/join/all").read_text() == "a\n"
    assert (project / ".prefect").is_dir(), "Prefect keeps its database in the project"

    for stage in ("demo_data", "join"):  # left and right wait for each other, so the twin takes them over as they are
        (twin / "signs").mkdir(exist_ok=True)
        for side in ("left", "right"):
            (twin / "signs" / side).touch()
        subprocess.run(dvc_command("repro", "-q", stage), cwd=twin, env=dvc_environment(), check=True, capture_output=True)
    assert yaml.safe_load((project / "dvc.lock").read_text()) == yaml.safe_load((twin / "dvc.lock").read_text())

    started = time.monotonic()
    again = mmldm(project, "reproduce")
    assert again.returncode == 0 and "nothing to do, all 4 stages are up to date" in again.stderr
    assert time.monotonic() - started < 10

    (project / "final").write_text("b\n")
    third = mmldm(project, "reproduce")
    assert "to run: join | up to date: demo_data, left, right" in third.stderr
    assert (project / "data/join/all").read_text() == "b\n"


@pytest.mark.slow
def test_a_failed_stage_stops_what_depends_on_it(project: Path) -> None:
    broken = yaml.safe_load((project / "dvc.yaml").read_text())
    broken["stages"]["left"]["cmd"] = "mkdir -p data/left signs; touch signs/left; exit 3"
    (project / "dvc.yaml").write_text(yaml.safe_dump(broken, sort_keys=False))
    done = mmldm(project, "reproduce")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last == ("reproduce: left failed | up to date demo_data, right | not started join | "
                    "the reason is above; then go on with: mmldm reproduce")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_flow_leaves_no_process_and_no_lock(project: Path, number: signal.Signals) -> None:
    endless = yaml.safe_load((project / "dvc.yaml").read_text())
    endless["stages"]["demo_data"]["cmd"] = "echo $$ > started; sleep 600"
    (project / "dvc.yaml").write_text(yaml.safe_dump(endless, sort_keys=False))
    flow = subprocess.Popen([sys.executable, "-m", "pipeline", "reproduce"], cwd=project, stderr=subprocess.PIPE, text=True,
                            env=own_environment())
    deadline = time.monotonic() + 60
    while not (project / "started").exists() or not (project / "started").read_text().strip():
        assert time.monotonic() < deadline and flow.poll() is None
        time.sleep(0.1)
    flow.send_signal(number)
    _, said = flow.communicate(timeout=40)
    assert flow.returncode == 130
    assert said.splitlines()[-1] == "reproduce: stopped; finished stages are kept, go on with: mmldm reproduce"
    assert not psutil.pid_exists(int((project / "started").read_text()))
    assert mmldm(project, "check").returncode == 0
