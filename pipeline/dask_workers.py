"""The map of `pipeline.workers` over the workers of a Dask cluster (`compute.dask_scheduler`).

Every worker runs in the project's folder (shared, at the same path on each machine) with the code and the libraries of
the process that hands out the work; each item checks that before it is worked on, as other code would make other bytes.
"""

import asyncio
import contextlib
import functools
import logging
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipeline.contracts.outputs import versions
from pipeline.contracts.source_code import code_hash
from pipeline.errors import RunError, TransientError
from pipeline.progress import say

if TYPE_CHECKING:
    from distributed import Client, Future

Item = TypeVar("Item")
Result = TypeVar("Result")

CONNECT_SEC = 5.0
PATIENCE_SEC = 30.0
"""After so long without a result it is said when the cluster has no worker."""


def map_on_dask(
    function: Callable[[Item], Result], items: Iterable[Item], scheduler: str, on_crash: Callable[[Item, None], Result] | None,
) -> Iterator[Result]:
    """`function` of every item, in order; at most two items for each thread of the cluster are under way.

    An item whose worker is lost goes to another one; after four lost workers Dask gives it up, and it is tried once more
    while no other item is under way, then `on_crash` stands for it (None: `BrokenProcessPool`).

    Raises:
        RunError: no scheduler answers, or a worker has other code, libraries or folder.
        TransientError: the scheduler went away.
    """
    from distributed import KilledWorker

    client = _connect(scheduler)
    try:
        task = functools.partial(_checked, function, _surroundings(function.__module__))
        waiting: deque[tuple[Item, Future]] = deque()
        source = iter(items)
        while True:
            window = 2 * max(_num_threads(client, scheduler), 1)
            while len(waiting) < window and (following := next(source, waiting)) is not waiting:
                item: Item = following  # type: ignore[assignment]
                waiting.append((item, client.submit(task, item, pure=False)))
            if not waiting:
                return
            item, future = waiting.popleft()
            _settle(client, future, scheduler)
            try:
                yield future.result()
            except KilledWorker as error:
                if on_crash is None:
                    raise BrokenProcessPool(str(error)) from None
                for _, other in waiting:
                    _settle(client, other, scheduler)
                alone = client.submit(task, item, pure=False)
                _settle(client, alone, scheduler)
                try:
                    yield alone.result()
                except KilledWorker:
                    yield on_crash(item, None)
    finally:
        client.close()


def _connect(scheduler: str) -> "Client":
    try:
        from distributed import Client
        from distributed.core import rpc
        from distributed.security import Security
    except ImportError:
        raise RunError(f"compute.dask_scheduler is {scheduler}, which needs the package distributed; "
                       "install it (the project's extra `dask`), or set compute.dask_scheduler to null") from None

    async def identity() -> None:
        async with rpc(scheduler, timeout=CONNECT_SEC, connection_args=Security().get_connection_args("client")) as remote:
            await asyncio.wait_for(remote.identity(), CONNECT_SEC)

    try:
        asyncio.run(identity())  # a Client that finds nobody leaves threads and their tracebacks behind
        client = Client(scheduler, timeout=CONNECT_SEC, set_as_default=False, direct_to_workers=True)
    except Exception as error:  # what answers there may be anything
        raise RunError(f"compute.dask_scheduler is {scheduler}, where no Dask scheduler answers ({str(error) or type(error).__name__}); "
                       "start one (dask scheduler), or set compute.dask_scheduler to null") from None
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # a RunError says it in one line
    if not _num_threads(client, scheduler):
        _say_no_worker(scheduler)
    return client


def _settle(client: "Client", future: "Future", scheduler: str) -> None:
    """Wait until the item is done, well or not."""
    while True:
        try:
            with _connection(scheduler):
                future.exception(timeout=PATIENCE_SEC)
            return
        except TimeoutError:
            if not _num_threads(client, scheduler):
                _say_no_worker(scheduler)


def _num_threads(client: "Client", scheduler: str) -> int:
    with _connection(scheduler):
        return sum(client.nthreads().values())


@contextlib.contextmanager
def _connection(scheduler: str) -> Iterator[None]:
    from distributed import CancelledError
    from distributed.comm import CommClosedError

    try:
        yield
    except (CommClosedError, CancelledError):
        raise TransientError(f"compute.dask_scheduler {scheduler} went away; start it and run the same command again, "
                       "finished work is kept") from None


def _say_no_worker(scheduler: str) -> None:
    say("workers", f"{scheduler} has no worker; waiting for one (dask worker {scheduler} --nthreads 1, in the project's folder)")


def _checked(function: Callable[[Item], Result], expected: dict[str, str], item: Item) -> Result:
    here = _surroundings(function.__module__)
    if here != expected:
        differs = ", ".join(f"{name} {here.get(name)} (expected {expected.get(name)})"
                            for name in sorted({*here, *expected}) if here.get(name) != expected.get(name))
        raise RunError(f"the Dask worker on {socket.gethostname()} would make other bytes: {differs}; "
                       "start it in the project's folder with the same code and libraries")
    return function(item)


def _surroundings(module: str) -> dict[str, str]:
    """What decides the bytes besides the item: libraries, code, and the folder that relative paths start from."""
    return {**_code(module), "folder": os.getcwd()}


@functools.cache
def _code(module: str) -> dict[str, str]:
    files = [Path(file) for file in (__file__, getattr(sys.modules[module], "__file__", None)) if file]
    return {**versions(), f"code of {module}": code_hash(files)[:12]}
