"""A small project of shell stages, and one Prefect server for the tests that need not start their own."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from pipeline.flows.server import OwnServer
from pipeline.flows.settings import prepare_prefect
from pipeline.params import load_params

ROOT = Path(__file__).resolve().parents[3]
TINY = ROOT / "tests/presets/tiny.yaml"
POSTGRES = max(Path("/usr/lib/postgresql").glob("*/bin/initdb"), default=None)
# `left` and `right` each wait for the other's sign: run one after the other they would fail.
MEET = "mkdir -p data/{me} signs; touch signs/{me}; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do "\
       "if [ -e signs/{other} ]; then echo '{me} 1/1 (100%)'; exit 0; fi; sleep 1; done; exit 1"
STAGES = {
    "demo_data": {"cmd": "mkdir -p data/demo_data/clips; cat seed > data/demo_data/clips/seed", "deps": ["seed"],
                  "outs": ["data/demo_data"]},
    "left": {"cmd": MEET.format(me="left", other="right"), "deps": ["${data.raw}"], "outs": ["data/left"]},
    "right": {"cmd": MEET.format(me="right", other="left"), "deps": ["${data.raw}"], "outs": ["data/right"]},
    "join": {"cmd": "mkdir -p data/join; cat final > data/join/all", "deps": ["data/left", "data/right", "final"], "outs": ["data/join"]},
}


def make_project(root: Path, **changed: dict[str, str]) -> Path:
    """A project of four stages, none of which has run; `changed` replaces keys of a stage's entry in dvc.yaml."""
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc/config").write_text("[core]\n    analytics = false\n    site_cache_dir = ../site_cache\n")
    (root / "data").mkdir()
    (root / ".gitignore").write_text("/data/*\n/signs/\n.prefect/\n")
    (root / ".dvcignore").write_text(".prefect\n")
    (root / "seed").write_text("7\n")
    (root / "final").write_text("a\n")
    shutil.copy(TINY, root / "params.yaml")
    stages = {name: {**entry, **changed.get(name, {})} for name, entry in STAGES.items()}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    subprocess.run(["git", "init", "-q", "."], cwd=root, check=True)
    return root


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """`make_project`."""
    return make_project(tmp_path / "project")


def own_environment(root: Path, api: str | None = None) -> dict[str, str]:
    """Without this machine's settings of Prefect: the project's own have to be enough. Its limits are not shared with other tests."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= {"PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(root.parent / "cache"), "PREFECT_RUNNER_POLL_FREQUENCY": "1"}
    return environment | ({"PREFECT_API_URL": api} if api else {})


def start_mmldm(root: Path, *arguments: str, api: str | None = None, **more: str) -> subprocess.Popen[str]:
    """The command, with its two outputs in one; it heeds signals that these tests were told to ignore (nohup, &)."""
    return subprocess.Popen([sys.executable, "-m", "pipeline", *arguments], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, env=own_environment(root, api) | more, preexec_fn=_heed_signals)


def _heed_signals() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def mmldm(root: Path, *arguments: str, api: str | None = None, **more: str) -> tuple[int, list[str]]:
    """Run the command: its exit code, the lines it said."""
    process = start_mmldm(root, *arguments, api=api, **more)
    said, _ = process.communicate(timeout=100)
    return process.returncode, said.splitlines()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an empty database of a real PostgreSQL, which is not run by root."""
    if POSTGRES is None:
        pytest.skip("no PostgreSQL in /usr/lib/postgresql")
    folder = Path(subprocess.run(["mktemp", "-d", "/tmp/pgXXXXXX"], check=True, capture_output=True, text=True).stdout.strip())
    as_user: Callable[[str], list[str]] = lambda line: ["sh", "-c", line]  # noqa: E731
    if os.geteuid() == 0:
        if subprocess.run(["id", "postgres"], capture_output=True).returncode:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        shutil.chown(folder, "postgres")
        as_user = lambda line: ["su", "postgres", "-s", "/bin/sh", "-c", line]  # noqa: E731
    port, tools = free_port(), POSTGRES.parent
    subprocess.run(as_user(f"{tools}/initdb -D {folder}/data -A trust -U mmldm --no-sync"), check=True, capture_output=True, cwd="/")
    subprocess.run(as_user(f"{tools}/pg_ctl -D {folder}/data -o '-F -p {port} -h 127.0.0.1 -k {folder}' -l {folder}/log -w start "
                           f"&& {tools}/createdb -h 127.0.0.1 -p {port} -U mmldm runs"), check=True, stdout=subprocess.DEVNULL, cwd="/")
    yield f"postgresql://mmldm@127.0.0.1:{port}/runs"
    subprocess.run(as_user(f"{tools}/pg_ctl -D {folder}/data -m immediate stop"), check=True, capture_output=True, cwd="/")
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """API address of a Prefect server, on PostgreSQL where there is one."""
    root = tmp_path_factory.mktemp("server")
    values = yaml.safe_load(TINY.read_text())
    if POSTGRES is not None:
        values["flow"]["database"] = request.getfixturevalue("postgres")
    (root / "params.yaml").write_text(yaml.safe_dump(values))
    environment = own_environment(root)
    prepare_prefect(root, environment)
    started = OwnServer(root, load_params(root / "params.yaml").flow, free_port(), environment)
    started.wait()
    yield started.api
    started.stop()
