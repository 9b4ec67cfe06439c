"""Worker processes over a list: results in the order of the items, a bounded number in flight, a crash told by its item.

Processes are forked from a clean server that has imported `preload` once (forkserver), so that a heavy import is paid
once however many workers there are, and no thread of the parent is copied.
"""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from typing import TypeAlias, TypeVar

from pipeline.errors import TransientError
from pipeline.params import ComputeParams

DIED = ("a worker process died (killed for want of memory, or a library crashed); finished work is kept: run the same command again, "
        "with fewer compute.num_workers if memory is short")

Item = TypeVar("Item")
Result = TypeVar("Result")
OnCrash: TypeAlias = Callable[[Item, int | None], Result]


def core_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Workers:
    """Who does the work; the results and their order do not depend on it."""

    num_workers: int = 0
    """Processes on this machine; 0: every core."""
    dask_scheduler: str | None = None
    """Address of a Dask cluster that works instead of local processes."""

    @classmethod
    def of(cls, compute: ComputeParams) -> "Workers":
        """As params.yaml says."""
        return cls(compute.num_workers, compute.dask_scheduler)

    def __str__(self) -> str:
        return f"Dask at {self.dask_scheduler}" if self.dask_scheduler else f"{self.num_workers or core_count()} workers"

    def prepare(self, preload: str) -> None:
        """Let the process server import a module already now, while this process has other things to do than to `map`."""
        if not self.dask_scheduler and (self.num_workers or core_count()) > 1:
            multiprocessing.get_context("forkserver").set_forkserver_preload([preload])
            forkserver.ensure_running()

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], *, preload: Sequence[str] = (),
        on_crash: OnCrash[Item, Result] | None = None,
    ) -> Iterator[Result]:
        """`function` of every item, in order; at most two items a worker are under way or wait in memory.

        Args:
            function: importable by name; its exceptions are raised here.
            items: drawn from as workers become free.
            preload: modules that the process server imports before it forks.
            on_crash: what stands for an item whose process died (a broken file can bring down a native decoder), from the item and
                the exit code (-n: ended by signal n; None: not known, on Dask). None: `BrokenProcessPool` is raised; one worker
                without `on_crash` runs in this process.

        Raises:
            RunError: the Dask cluster cannot be used.
            TransientError: it went away, or a process died and there is no `on_crash`.
        """
        if self.dask_scheduler:
            from pipeline.dask_workers import map_on_dask

            return map_on_dask(function, items, self.dask_scheduler, on_crash)
        num_workers = self.num_workers or core_count()
        if num_workers == 1 and on_crash is None:
            return map(function, items)
        return _map_in_processes(function, items, num_workers, preload, on_crash)


def _map_in_processes(
    function: Callable[[Item], Result], items: Iterable[Item], num_workers: int, preload: Sequence[str],
    on_crash: OnCrash[Item, Result] | None,
) -> Iterator[Result]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    source = iter(items)
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_end_with_parent)
    try:
        while True:
            while len(waiting) < 2 * num_workers and (following := next(source, waiting)) is not waiting:
                item: Item = following  # type: ignore[assignment]
                waiting.append((item, _submit(pool, function, item)))
            if not waiting:
                return
            item, future = waiting.popleft()
            try:
                yield future.result()
            except BrokenProcessPool:
                if on_crash is None:
                    raise TransientError(DIED) from None
                # The pool cannot say which item killed it: each one in flight is tried again alone.
                for suspect, running in [(item, future), *waiting]:
                    finished = running.done() and not running.cancelled() and running.exception() is None
                    yield running.result() if finished else _alone(function, suspect, context, on_crash)
                waiting.clear()
                pool.shutdown(wait=False)
                pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_end_with_parent)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, function: Callable[[Item], Result], item: Item) -> Future[Result]:
    try:
        return pool.submit(function, item)
    except BrokenProcessPool as error:  # by one in flight, whose turn comes first
        broken: Future[Result] = Future()
        broken.set_exception(error)
        return broken


def _alone(
    function: Callable[[Item], Result], item: Item, context: multiprocessing.context.ForkServerContext, on_crash: OnCrash[Item, Result],
) -> Result:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_result, args=(sender, function, item))
    process.start()
    sender.close()
    try:
        succeeded, result = receiver.recv()
    except EOFError:
        process.join()
        return on_crash(item, process.exitcode)
    process.join()
    if not succeeded:
        raise result
    return result


def _send_result(sender: Connection, function: Callable[[Item], Result], item: Item) -> None:
    _end_with_parent()
    try:
        result: tuple[bool, object] = (True, function(item))
    except Exception as error:
        result = (False, error)
    sender.send(result)


def _end_with_parent() -> None:
    """In a worker: a parent killed without a word would leave it waiting for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
