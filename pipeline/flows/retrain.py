"""`mmldm retrain` as a Prefect flow: the steps of `pipeline.retrain.cycle`, a task each, and the decision as an artifact.

Import it after `pipeline.flows.settings.prepare_prefect`.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from pipeline.flows.alerts import tell, tell_of_failure
from pipeline.flows.watch import watch_for_cancellation
from pipeline.retrain import cycle
from pipeline.retrain.registry import read_registry, table_lines
from pipeline.retrain.told import sentence


@task(cache_policy=NO_CACHE)
def run_step(step: Callable[[], Any]) -> Any:
    """One step of a cycle; its record is in the journal, so that Prefect need not keep it."""
    return step()


@flow(name="retrain", on_failure=[tell_of_failure], on_crashed=[tell_of_failure])
def retrain(root: Path, again: bool = False) -> cycle.Outcome:
    """Take what has arrived, train, and promote the new model if it wins; what a killed run left is finished first.

    Args:
        root: the project's folder.
        again: train and decide also when no data is new.

    Raises:
        UserError: in one line what has to be mended; the next run goes on.
    """
    def as_task(name: str, step: Callable[[], Any]) -> Any:
        return run_step.with_options(name=name, task_run_name=name)(step)

    with watch_for_cancellation(lambda: os.kill(os.getpid(), signal.SIGTERM)):
        outcome = cycle.retrain(root, again=again, around=as_task)
    if outcome.decision != "nothing new":
        table = "\n".join(table_lines(read_registry(root)))
        create_markdown_artifact(key="retrain", description="decision and registry", markdown=f"{sentence(outcome)}\n\n```\n{table}\n```")
    if outcome.decision == "declined":
        tell(root, f"mmldm: {outcome.model} was not promoted in {root.name}", sentence(outcome))
    return outcome
