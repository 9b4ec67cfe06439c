"""`mmldm serve` and `mmldm schedule`, with a server of their own: pytest tests/pipeline/flows/test_serve.py"""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.pipeline.flows.conftest import free_port, make_project, mmldm, start_mmldm
from tests.pipeline.flows.test_reproduce import processes_in, wait_until

SLOW = "mkdir -p data/demo_data/clips; if [ -e quick ]; then cp seed data/demo_data/clips; exit 0; fi; echo $$ > started; sleep 600"


def set_flow(root: Path, **values: object) -> None:
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["flow"] |= values
    (root / "params.yaml").write_text(yaml.safe_dump(params))


def shown(root: Path) -> str:
    code, said = mmldm(root, "schedule", "show")
    assert code == 0, said
    return "\n".join(said)


def serve(root: Path, cron: str = "0 0 1 1 *") -> "subprocess.Popen[str]":
    """Serve `reproduce`, if nothing else is said at a time that is far away, and wait until it does."""
    process = start_mmldm(root, "serve", "--flow", "reproduce", "--cron", cron, "--timezone", "UTC")
    wait_until(lambda: (root / ".prefect/served").exists() and (root / ".prefect/served").stat().st_mtime > time.time() - 5)
    return process


@pytest.mark.slow
def test_a_run_starts_when_its_time_comes(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    set_flow(root, port=free_port())
    process = serve(root, "* * * * *")
    try:
        wait_until(lambda: "Completed" in shown(root), 150)
    finally:
        process.terminate()
        process.wait()


@pytest.mark.slow
def test_one_run_at_a_time_a_pause_and_what_was_missed(tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"demo_data": {"cmd": SLOW, "deps": ["seed"], "outs": ["data/demo_data"]}}}))
    set_flow(root, port=free_port(), catch_up="once")
    first = serve(root)
    assert shown(root).splitlines() == [f'reproduce    "0 0 1 1 *", next {time.gmtime().tm_year + 1}-01-01 00:00 UTC']
    assert "it runs already in this project" in mmldm(root, "serve")[1][-1]
    assert mmldm(root, "schedule", "run")[0] == 0
    wait_until((root / "started").exists)
    assert mmldm(root, "schedule", "run")[0] == 0
    wait_until(lambda: "Deployment concurrency limit reached" in shown(root))
    first.kill()  # with all that it was about
    first.wait()
    wait_until(lambda: not processes_in(root), 30)

    (root / "quick").touch()
    os.utime(root / ".prefect/served", (0, 0))  # as if it had been away over the new year
    second = serve(root)
    wait_until(lambda: "Completed" in shown(root))
    assert "Crashed    its mmldm serve is gone" in shown(root)
    assert mmldm(root, "schedule", "pause")[1] == ["reproduce is paused; go on with: mmldm schedule resume"]
    assert shown(root).splitlines()[0] == "reproduce    paused"
    second.send_signal(signal.SIGTERM)
    said, _ = second.communicate(timeout=120)
    assert second.returncode == 0 and said.splitlines()[-1] == "serve        stopped"
    assert "missed: " in said and "ran demo_data" in said and not processes_in(root)
    assert mmldm(root, "schedule", "show")[1][-1].startswith("schedule: nothing is served in this project; start it")


@pytest.mark.parametrize(("arguments", "flow", "said"), [
    (("--cron", "0 25 * * *"), {}, 'serve: --cron is "0 25 * * *", expected minute, hour, day, month and weekday'),
    ((), {"database": "postgresql://me@127.0.0.1:1/runs"}, "serve: the database postgresql://me@127.0.0.1:1/runs cannot be used ("),
    ((), {"alerts": {"webhook": "$NOWHERE"}}, "serve: flow.alerts.webhook is $NOWHERE, but the environment has no NOWHERE"),
])
@pytest.mark.slow
def test_a_mistake_is_one_line_and_leaves_no_server(project: Path, arguments: tuple[str, ...], flow: dict, said: str) -> None:
    if "alerts" in flow:
        flow = {"alerts": yaml.safe_load((project / "params.yaml").read_text())["flow"]["alerts"] | flow["alerts"]}
    set_flow(project, port=free_port(), **flow)
    code, lines = mmldm(project, "serve", *arguments)
    assert code == 1 and len(lines) == 1 and lines[0].startswith(said), lines
    assert not processes_in(project)


def test_a_taken_port_is_named(project: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        set_flow(project, port=port)
        code, lines = mmldm(project, "serve")
    assert (code, lines[-1]) == (
        1, f"serve: port {port} of 127.0.0.1 is taken (another mmldm serve?); stop what uses it, or set flow.port")
