"""`mmldm reproduce`: the stale stages of dvc.yaml as a Prefect flow, one task per stage, independent ones side by side.

Import it after `pipeline.flows.settings.prepare_prefect`.
"""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, wait
from prefect.states import Completed, Failed

from pipeline.errors import RunError
from pipeline.flows.stage_process import StageProcesses


@task(cache_policy=NO_CACHE)
def run_stage(processes: StageProcesses, stage: str) -> State:
    """One stage; a stage that exits with an error is a failed task, and what reads its output does not start."""
    code = processes.run(stage)
    return Completed(message="up to date") if code == 0 else Failed(message=f"exit code {code}")


@flow(name="reproduce")
def reproduce(root: Path, stages: list[str], upstream: dict[str, list[str]]) -> None:
    """Bring stages up to date.

    Args:
        root: the project's folder.
        stages: names in an order in which they can run.
        upstream: for each, the stages that it waits for; those outside of `stages` are up to date already.

    Raises:
        RunError: a stage failed; names what ran, what failed and what waits.
    """
    with StageProcesses(root) as processes:
        futures: dict[str, PrefectFuture[Any]] = {}
        for stage in stages:
            before = [futures[name] for name in upstream[stage] if name in futures]
            named = run_stage.with_options(name=stage, task_run_name=stage)
            futures[stage] = named.submit(processes, stage, wait_for=before, return_state=False)
        wait(list(futures.values()))
    ran = [stage for stage, future in futures.items() if future.state.is_completed()]
    failed = [stage for stage, future in futures.items() if future.state.is_failed()]
    if failed:
        waiting = [stage for stage in stages if stage not in ran and stage not in failed]
        raise RunError(f"{', '.join(failed)} failed | up to date {', '.join(ran) or 'none'} | "
                       f"not started {', '.join(waiting) or 'none'} | the reason is above; then go on with: mmldm reproduce")
