"""Prefect's server on 127.0.0.1: the one that is there already, or one of this project's own for as long as its process lives.

Nothing here imports Prefect, so that the server starts while the rest of the process still does.
"""

import asyncio
import atexit
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil

from pipeline.contracts.outputs import write_text
from pipeline.errors import RunError
from pipeline.flows.guard import guard_command
from pipeline.flows.settings import HOME
from pipeline.params import FlowParams

HOST = "127.0.0.1"
API_URL = "PREFECT_API_URL"
DATABASE_URL = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
START_SEC = 120.0
ANSWER_SEC = 5.0
LOG = f"{HOME}/server.log"
_RECORD = f"{HOME}/server.json"


@dataclass(frozen=True, slots=True)
class Record:
    """What `mmldm serve` leaves in .prefect/ while it runs: where others of this project find its server."""

    pid: int
    api: str
    flow: str
    """Name of the flow that has a schedule."""
    report: str | None
    """Address at which data/report can be looked at."""


class OwnServer:
    """A server that this process has started, which ends with it, however that ends."""

    def __init__(self, root: Path, flow: FlowParams, port: int, environment: MutableMapping[str, str]) -> None:
        """Start it, without waiting.

        Raises:
            RunError: the database does not answer, or the port is taken.
        """
        url = environment.get(DATABASE_URL) or (flow.database and _with_driver(flow.database))
        if url:
            check_database(url)
        _require_free(port)
        self.api, self.log = f"http://{HOST}:{port}/api", root / LOG
        self.log.parent.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
        own = {**environment, API_URL: self.api, **({DATABASE_URL: url} if url else {})}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(guard_command(command), cwd=root, env=own, stdin=subprocess.PIPE, stdout=log,
                                             stderr=subprocess.STDOUT, start_new_session=True)
        atexit.register(self.stop)  # before Prefect is imported, so that it comes after Prefect's last words to the server

    def wait(self) -> None:
        """Until it answers.

        Raises:
            RunError: it ended, or was silent for `START_SEC`.
        """
        deadline = time.monotonic() + START_SEC
        while not answers(self.api):
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
                raise RunError(f"Prefect's server did not start ({said[-1].strip() if said else 'it said nothing'}); "
                               f"the whole of it: {self.log}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End it and wait until it is gone."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Connection:
    """The server that this process reports to."""

    def __init__(self, api: str, own: OwnServer | None = None) -> None:
        self.api, self.own = api, own

    @property
    def page(self) -> str:
        """Address to watch it at."""
        return self.api.removesuffix("/").removesuffix("/api")

    def wait(self) -> None:
        """Until it answers; see `OwnServer.wait`."""
        if self.own is not None:
            self.own.wait()


def connect(root: Path, flow: FlowParams, port: int = 0, environment: MutableMapping[str, str] = os.environ) -> Connection:
    """Have a server to report to: the user's (`PREFECT_API_URL`), that of a running `mmldm serve`, or a new one.

    Args:
        root: the project's folder.
        flow: its settings.
        port: of a new one; 0: any free one.
        environment: where `PREFECT_API_URL` is looked for, and set.

    Call it before `prefect` is imported, which reads the environment then, and `Connection.wait` before a flow is started.

    Raises:
        RunError: the user's server does not answer, or no own one can be started.
    """
    theirs = environment.get(API_URL)
    if theirs:
        if not answers(theirs):
            raise RunError(f"{API_URL} is {without_password(theirs)}, where no Prefect server answers; start it, or unset {API_URL}")
        return Connection(theirs)
    served = running_record(root)
    own = None if served else OwnServer(root, flow, port or _free_port(), environment)
    connection = Connection(served.api if served else own.api, own)  # type: ignore[union-attr]
    environment[API_URL] = connection.api
    return connection


def running_record(root: Path) -> Record | None:
    """The record of a `mmldm serve` that runs in this project; None: there is none."""
    try:
        record = Record(**json.loads((root / _RECORD).read_text(encoding="utf-8")))
        alive = psutil.pid_exists(record.pid)
    except (OSError, ValueError, TypeError):
        return None
    return record if alive and answers(record.api) else None


def write_record(root: Path, record: Record) -> None:
    """Say where this project's server is; removed when this process ends."""
    write_text(root / _RECORD, json.dumps(asdict(record)))
    atexit.register(lambda: (root / _RECORD).unlink(missing_ok=True))


def answers(api: str) -> bool:
    """Whether a Prefect server is there."""
    request = urllib.request.Request(f"{api.rstrip('/')}/health")
    if key := os.environ.get("PREFECT_API_KEY"):
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_SEC) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):  # refused, unknown host, another status, no address
        return False


def check_database(url: str) -> None:
    """PostgreSQL answers and lets us in.

    Args:
        url: of SQLAlchemy; SQLite's needs no look.

    Raises:
        RunError: it does not; without its password.
    """
    if not url.startswith("postgres"):
        return
    import asyncpg

    async def ask() -> None:
        connection = await asyncpg.connect(url.replace("+asyncpg", "", 1), timeout=ANSWER_SEC)
        await connection.close()

    try:
        asyncio.run(ask())
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        shown = without_password(url).replace("+asyncpg", "", 1)
        raise RunError(f"the database {shown} cannot be used ({reason}); start it or mend flow.database in params.yaml (null: SQLite)"
                       ) from None


def without_password(url: str) -> str:
    """`postgresql://user:***@host/name`."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.split(':')[0]}:***@{host}"))


def _with_driver(url: str) -> str:
    return f"postgresql+asyncpg://{url.split('://', 1)[1]}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does it
        try:
            probe.bind((HOST, port))
        except OSError:
            raise RunError(f"port {port} of {HOST} is taken (another mmldm serve?); stop what uses it, or set flow.port") from None
