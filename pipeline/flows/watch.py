"""A run that is to end from outside: cancelled on Prefect's page, or left alone by the process that started it on a schedule."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.runtime import flow_run

LOOK_SEC = 2.0
LAST_WORDS_SEC = 15.0
"""How long a run that was left alone has, after its stages have ended, to tell a server that is still there."""
SERVED = "PREFECT__FLOW_RUN_ID"
"""Set in a process that `mmldm serve` or a Prefect worker has started for one run."""


@contextmanager
def watch_for_cancellation(stop: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Look every two seconds whether this flow run is to end, and call `stop` when it is.

    Yields:
        A function that tells whether it was so.
    """
    ended, cancelled = threading.Event(), threading.Event()
    run_id, parent = UUID(flow_run.id), os.getppid()

    def look() -> None:
        with get_client(sync_client=True) as client:
            while not ended.wait(LOOK_SEC):
                alone = SERVED in os.environ and os.getppid() != parent
                if alone:
                    _speak_to_nobody()
                if alone or _is_cancelled(client, run_id):
                    cancelled.set()
                    stop()
                    if alone:  # the server is gone with it, mostly, and Prefect would call after it for minutes
                        time.sleep(LAST_WORDS_SEC)
                        os._exit(1)
                    return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield cancelled.is_set
    finally:
        ended.set()


def _speak_to_nobody() -> None:
    """Standard output and error were pipes to the process that is gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


def _is_cancelled(client: SyncPrefectClient, run_id: UUID) -> bool:
    try:
        state = client.read_flow_run(run_id).state
    except Exception:  # a server that does not answer cancels nothing
        return False
    return state is not None and (state.is_cancelling() or state.is_cancelled())
