"""What a terminal starts with Prefect: a reproduction with its server and closing line, a served flow, a look at its schedule."""

import os
import signal
import warnings
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from pipeline.errors import RunError
from pipeline.flows.outcomes import Outcomes
from pipeline.flows.secrets import require_variables
from pipeline.flows.server import API_URL, HOST, Record, connect, running_record, write_record
from pipeline.flows.settings import prepare_prefect
from pipeline.params import FlowParams
from pipeline.plan import Plan, Selection
from pipeline.progress import say

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.states import State


def reproduce_here(root: Path, selection: Selection, plan: Plan, flow: FlowParams) -> str:
    """Run what the plan says.

    Returns:
        The closing line.

    Raises:
        RunError: a stage failed, or Prefect did; says what ran, what failed and how to go on.
        KeyboardInterrupt: stopped by a signal (SIGINT, SIGTERM, SIGHUP); no process is left, and the line that says so has been said.
    """
    _heed_signals()
    outcomes = Outcomes(selection, plan)
    try:
        state = _run(root, outcomes, flow)
    except KeyboardInterrupt:
        state = None
    if state is None or state.is_cancelled():
        say("reproduce", outcomes.stopped_line())
        raise KeyboardInterrupt
    if not state.is_completed():
        raise RunError(str(state.message))
    return str(state.message)


def _run(root: Path, outcomes: Outcomes, flow: FlowParams) -> "State":
    prepare_prefect(root)
    server = connect(root, flow)  # starts while Prefect is imported
    from httpx import HTTPError
    from prefect.exceptions import PrefectException, TerminationSignal

    from pipeline.flows.reproduce import PREPARED, reproduce

    server.wait()
    say("reproduce", f"to watch it while it runs: {server.page}")
    PREPARED.set(outcomes)
    asked = outcomes.selection
    try:
        return reproduce(root, asked.to, asked.start, asked.force, return_state=True)
    except TerminationSignal:  # between the stages
        raise KeyboardInterrupt from None
    except (HTTPError, PrefectException) as error:
        first_line = (str(error) or type(error).__name__).splitlines()[0]
        raise RunError(f"Prefect's server at {server.page} did not answer ({first_line}) | {outcomes.counted()} | "
                       f"go on with: {outcomes.go_on()}") from None


def serve_here(root: Path, name: str, cron: str | None, zone: str | None, flow: FlowParams) -> None:
    """Serve a flow until a signal ends it.

    Args:
        root: the project's folder.
        name: "retrain" or "reproduce".
        cron: None: started by hand only.
        zone: time zone of `cron`; None: this machine's.

    Raises:
        RunError: a mistake in the command line or in `flow`, no server, no database, another `mmldm serve` in this project.
    """
    _heed_signals()
    prepare_prefect(root)
    require_variables(flow.alerts)
    running = running_record(root)
    if running:
        raise RunError(f"it runs already in this project (process {running.pid}, page {running.api.removesuffix('/api')}); "
                       f"stop that one first: kill {running.pid}")
    server = connect(root, flow, port=flow.port)
    from pipeline.flows.alerts import require_alerts
    from pipeline.flows.reproduce import reproduce
    from pipeline.flows.retrain import retrain
    from pipeline.flows.serve import serve_flow, serve_report
    from pipeline.flows.timetable import read_timetable

    flows: dict[str, Flow[Any, Any]] = {"reproduce": reproduce, "retrain": retrain}
    timetable = read_timetable(cron, zone) if cron is not None else None
    server.wait()
    require_alerts(flow.alerts)
    report = serve_report(root, HOST, flow.port + 1)
    write_record(root, Record(pid=os.getpid(), api=server.api, flow=name, report=report))
    when = f"next {timetable.next(datetime.now(UTC)):%Y-%m-%d %H:%M %Z}" if timetable else "by hand only"
    say("serve", f"{name}, {when} | page {server.page} | report {report or f'not served, port {flow.port + 1} is taken'}")
    say("serve", "from another terminal: mmldm schedule show, pause, resume, run | Ctrl-C ends it and what it runs")
    # Prefect's answer to SIGTERM never awaits its own farewell.
    warnings.filterwarnings("ignore", message="coroutine 'Runner.astop' was never awaited", category=RuntimeWarning)
    serve_flow(root, flows[name], timetable, flow.catch_up)
    say("serve", "stopped")


def schedule_here(root: Path, action: str) -> str:
    """Do what `mmldm schedule` says with the `mmldm serve` that runs in this project.

    Returns:
        What to print.

    Raises:
        RunError: none runs here.
    """
    prepare_prefect(root)
    running = running_record(root)
    if running is None:
        raise RunError('nothing is served in this project; start it, for instance with: mmldm serve --cron "0 3 * * *"')
    os.environ[API_URL] = running.api
    from pipeline.flows.schedule import Schedule

    return str(getattr(Schedule(root, running.flow), action)())


def _heed_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
