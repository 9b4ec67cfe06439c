"""`mmldm serve`: flows on a schedule and by hand, one run at a time, for as long as this process lives.

Import it after `pipeline.flows.settings.prepare_prefect` and `pipeline.flows.server.connect`.
"""

import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import prefect
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId, FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.flows import EntrypointType, Flow
from prefect.schedules import Cron
from prefect.states import Cancelled, Crashed

from pipeline.errors import RunError
from pipeline.flows.settings import HOME
from pipeline.flows.timetable import Timetable
from pipeline.progress import say

ALIVE_SEC = 30.0
"""Between two signs of life, by which the next `mmldm serve` knows what was missed."""
_ALIVE = f"{HOME}/served"


def serve_flow(root: Path, flow: Flow[Any, Any], timetable: Timetable | None, catch_up: str) -> None:
    """Serve until stopped.

    Args:
        root: the project's folder; its name is the deployment's.
        flow: with the parameter `root`.
        timetable: None: by hand only.
        catch_up: "once": a time that was missed is made up for by one run now; "skip": it is left out.

    Raises:
        RunError: a project in another folder of the same name is served there already.
    """
    missed = timetable.missed(_last_sign(root), datetime.now(UTC)) if timetable else None
    with get_client(sync_client=True) as client:
        paused = _clear(client, flow, root)
        # Schedules stay as they are when this ends: what is missed meanwhile is catch_up's business, and a pause is the user's.
        deployment = _deployment(flow, root, timetable, paused)
        deployment_id = deployment.apply()
        if missed and not paused:
            say("serve", f"missed: {missed.isoformat(timespec='minutes')} (flow.catch_up: {catch_up})")
            if catch_up == "once":
                client.create_flow_run_from_deployment(deployment_id, tags=["catch-up"])
    _keep_signs_of_life(root)
    with suppress(SystemExit):  # Prefect's answer to SIGTERM
        prefect.serve(deployment, pause_on_shutdown=False, print_starting_message=False)


def _deployment(flow: Flow[Any, Any], root: Path, timetable: Timetable | None, paused: bool) -> Any:
    return flow.to_deployment(
        root.name, schedule=Cron(timetable.cron, timezone=timetable.zone.key) if timetable else None, paused=paused,
        parameters={"root": str(root)}, tags=["mmldm"], entrypoint_type=EntrypointType.MODULE_PATH,
        concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW))


def _clear(client: SyncPrefectClient, flow: Flow[Any, Any], root: Path) -> bool:
    """End on paper what a killed `mmldm serve` left: runs that nobody runs, runs whose time is over.

    Returns:
        Whether the user had paused it.
    """
    try:
        deployment = client.read_deployment_by_name(f"{flow.name}/{root.name}")
    except ObjectNotFound:
        return False
    _require_same_folder(deployment, root)
    dead = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    for run in _runs(client, deployment, dead):
        client.set_flow_run_state(run.id, Crashed(message="its mmldm serve is gone"), force=True)
    for run in _runs(client, deployment, [StateType.SCHEDULED]):
        if run.expected_start_time is not None and run.expected_start_time < datetime.now(UTC):
            client.set_flow_run_state(run.id, Cancelled(message="mmldm serve was not running at its time"), force=True)
    return bool(deployment.paused)


def _runs(client: SyncPrefectClient, deployment: DeploymentResponse, states: list[StateType]) -> list[Any]:
    return client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states))))


def _require_same_folder(deployment: DeploymentResponse, root: Path) -> None:
    other = str(deployment.parameters.get("root"))
    if other != str(root) and Path(other).is_dir():
        raise RunError(f"this Prefect server serves {deployment.name} for {other} already; rename one of the two folders, "
                       "or give each its own server (unset PREFECT_API_URL)")


def serve_report(root: Path, host: str, port: int) -> str | None:
    """Show data/report on a port, read-only, from a thread of this process; browsers follow no link from a server to a file.

    Returns:
        Its address; None: the port is taken.
    """
    class Report(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, directory=str(root / "data/report"), **named)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    try:
        server = ThreadingHTTPServer((host, port), Report)
    except OSError:
        return None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://{host}:{server.server_port}/"


def _last_sign(root: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp((root / _ALIVE).stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def _keep_signs_of_life(root: Path) -> None:
    def sign() -> None:
        while True:
            (root / _ALIVE).touch()
            time.sleep(ALIVE_SEC)

    threading.Thread(target=sign, daemon=True).start()
