"""`mmldm reproduce`: the stale stages of dvc.yaml as a Prefect flow, one task per stage, independent ones side by side.

DVC alone decides what is up to date (Prefect's cache is off), so that the results are those of `dvc repro`, byte for byte.
Import it after `pipeline.flows.settings.prepare_prefect`.
"""

import os
import sys
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.exceptions import TerminationSignal
from prefect.futures import PrefectFuture, wait
from prefect.runtime import flow_run as this_flow_run
from prefect.runtime import task_run as this_task_run
from prefect.states import Cancelled, Completed, Failed
from prefect.tasks import Task

from pipeline.check import check_project
from pipeline.errors import UserError
from pipeline.flows.alerts import tell_of_failure
from pipeline.flows.causes import DELAYS_SEC
from pipeline.flows.outcomes import Outcomes
from pipeline.flows.page import StagePage, show_results
from pipeline.flows.server import API_URL, answers
from pipeline.flows.slots import slot
from pipeline.flows.stage_process import Ended, StageProcesses
from pipeline.flows.watch import watch_for_cancellation
from pipeline.graph import Graph, load_graph
from pipeline.lock_file import order_entries
from pipeline.params import FlowParams, load_params
from pipeline.plan import Selection, make_plan
from pipeline.progress import say

PREPARED: ContextVar[Outcomes | None] = ContextVar("PREPARED", default=None)
"""What `mmldm reproduce` has planned already and will tell of at the end; a run on a schedule makes its own plan."""
_TRANSIENT = "may pass: "


class _Run:
    """What the tasks of one run share."""

    def __init__(self, graph: Graph, limits: FlowParams, outcomes: Outcomes, processes: StageProcesses) -> None:
        self.graph, self.limits, self.outcomes, self.processes = graph, limits, outcomes, processes


def worth_another_try(task: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed stage is started again (see `pipeline.flows.causes`)."""
    return (state.message or "").startswith(_TRANSIENT)


@task(cache_policy=NO_CACHE, retry_condition_fn=worth_another_try)
def run_stage(run: _Run, stage: str) -> State:
    """One stage in one slot; a stage that exits with an error is a failed task, and what reads its output does not start."""
    page, processes, kind = StagePage(stage), run.processes, run.graph.stages[stage].slot
    attempt = int(this_task_run.run_count or 1)
    if attempt > 1 and processes.wait(_delay_sec(attempt)):
        return Failed(message="stopped")
    holder = f"{stage} of {processes.root} (process {os.getpid()})"
    try:
        with slot(kind, getattr(run.limits, kind), holder, wait=processes.wait, say=page.say) as held:
            if held is None:
                return Failed(message="stopped")
            ended = processes.run(stage, force=stage in run.outcomes.plan.force, hold=held, heard=page.hear)
    except UserError as error:
        ended = Ended.before_it_began(str(error))
    run.outcomes.ended[stage] = ended
    if ended.code == 0:
        page.summarise(processes.root, ended)
        return Completed(message=run.outcomes.of(stage), name="Completed" if ended.ran else "Cached")
    if processes.stopping:
        run.outcomes.interrupted.add(stage)
        return Failed(message="stopped")
    if ended.cause is None:
        return Failed(message=ended.last_line)
    if attempt <= run.limits.retries:
        page.say(f"failed, but that may pass ({ended.cause}); starts again in {_delay_sec(attempt + 1):.0f}s")
    return Failed(message=f"{_TRANSIENT}{ended.cause}; {ended.last_line}")


def run_name() -> str:
    """How a run is called on Prefect's page: as the command that asks for it."""
    asked = this_flow_run.parameters
    return Selection(asked.get("to"), asked.get("start"), tuple(asked.get("force") or ())).command()


@flow(name="reproduce", flow_run_name=run_name, on_failure=[tell_of_failure], on_crashed=[tell_of_failure])
def reproduce(root: Path, to: str | None = None, start: str | None = None, force: tuple[str, ...] = ()) -> State:
    """Bring the stages up to date, as `dvc repro` does, independent ones side by side.

    Args:
        root: the project's folder.
        to: this stage and all that it needs; None: to the end.
        start: this stage and all after it; None: from the beginning.
        force: stages to run although they are up to date.

    Returns:
        A state whose message says what ran, what was up to date, what failed, and the command to go on.
    """
    prepared, root = PREPARED.get(), root.resolve()
    try:
        state = _bring_up_to_date(root, prepared or _plan(root, Selection(to, start, tuple(force))))
    except UserError as error:
        state = Failed(message=str(error))
    if not answers(os.environ.get(API_URL, "")):
        _leave(state)
    if prepared is None:
        say("reproduce", str(state.message))
    return state


def _leave(state: State) -> None:
    """End the process: the server is gone, and Prefect would call after it for minutes before it lets go. The stages have ended."""
    print(file=sys.stderr)  # Prefect's last words have no end of line
    say("reproduce", f"Prefect's server is gone, the stages are not | {state.message}")
    sys.stderr.flush()
    os._exit(0 if state.is_completed() else 130 if state.is_cancelled() else 1)


def _plan(root: Path, selection: Selection) -> Outcomes:
    check_project(root)
    return Outcomes(selection, make_plan(root, load_graph(root), selection))


def _bring_up_to_date(root: Path, outcomes: Outcomes) -> State:
    graph, limits = load_graph(root), load_params(root / "params.yaml").flow
    futures: dict[str, PrefectFuture[Any]] = {}
    interrupted = False
    with StageProcesses(root) as processes, watch_for_cancellation(processes.stop) as cancelled:
        run = _Run(graph, limits, outcomes, processes)
        try:
            for stage in outcomes.plan.run:
                before = [futures[name] for name in graph.upstream[stage] if name in futures]
                named = run_stage.with_options(name=stage, task_run_name=stage, retries=limits.retries)
                futures[stage] = named.submit(run, stage, wait_for=before, return_state=False)
            wait(list(futures.values()))
        except (KeyboardInterrupt, TerminationSignal):
            interrupted = True
            processes.stop()
            wait(list(futures.values()))  # the stages are gone; their tasks note it
    order_entries(root, graph.stages)
    if interrupted or cancelled():
        return Cancelled(message=outcomes.stopped_line())
    show_results(root)
    if outcomes.those("failed") or outcomes.those("not started"):
        return Failed(message=f"{outcomes.failure()} | {outcomes.counted()} | then go on with: {outcomes.go_on()}")
    return Completed(message=f"{outcomes.counted()}; see: mmldm look")


def _delay_sec(attempt: int) -> float:
    return DELAYS_SEC[min(attempt - 2, len(DELAYS_SEC) - 1)]
