"""`mmldm schedule show|pause|resume|run`: what a running `mmldm serve` of this project does, from another terminal.

Import it after `pipeline.flows.settings.prepare_prefect`, with `PREFECT_API_URL` set.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId, FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort

from pipeline.flows.timetable import read_timetable

LAST = 5
"""Runs that are shown."""
BEGUN = FlowRunFilterState(type=FlowRunFilterStateType(not_any_=[StateType.SCHEDULED]))
"""Not the runs to come, of which the scheduler makes up to a hundred in advance."""


class Schedule:
    """The served flow of a project."""

    def __init__(self, root: Path, flow: str) -> None:
        self.root, self.flow = root, flow

    def show(self) -> str:
        """When it runs next, and how the last runs ended, a line each."""
        with get_client(sync_client=True) as client:
            deployment = self._deployment(client)
            tables = [read_timetable(entry.schedule.cron, entry.schedule.timezone) for entry in deployment.schedules  # type: ignore[union-attr]
                      if entry.active]
            times = ", ".join(f'"{table.cron}", next {table.next(datetime.now(UTC)):%Y-%m-%d %H:%M %Z}' for table in tables)
            state = "paused" if deployment.paused else times or "by hand only"
            runs = client.read_flow_runs(deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
                                         flow_run_filter=FlowRunFilter(state=BEGUN),
                                         sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=LAST)
        return "\n".join([f"{self.flow:<12} {state}", *map(_line, runs)])

    def pause(self) -> str:
        """No run starts by itself until `resume`; one that runs goes on."""
        with get_client(sync_client=True) as client:
            client.pause_deployment(self._deployment(client).id)
        return f"{self.flow} is paused; go on with: mmldm schedule resume"

    def resume(self) -> str:
        """The schedule goes on."""
        with get_client(sync_client=True) as client:
            client.resume_deployment(self._deployment(client).id)
        return f"{self.flow} is on its schedule again"

    def run(self) -> str:
        """Start a run now; while another one runs, Prefect cancels it at once."""
        with get_client(sync_client=True) as client:
            run = client.create_flow_run_from_deployment(self._deployment(client).id)
        return f"{self.flow} starts within seconds; see: mmldm schedule show (run {run.name})"

    def _deployment(self, client: SyncPrefectClient) -> DeploymentResponse:
        return client.read_deployment_by_name(f"{self.flow}/{self.root.name}")


def _line(run: Any) -> str:
    time = run.expected_start_time
    message = (run.state.message if run.state else "") or ""
    return f"  {time.astimezone():%Y-%m-%d %H:%M}  {run.state_name:<10} {message}".rstrip()
