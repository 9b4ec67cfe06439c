"""Clips over several devices: each goes to the next one that is free, the results come in the order of the clips."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

Device = TypeVar("Device")
Task = TypeVar("Task")
Result = TypeVar("Result")
AHEAD = 2
"""Tasks of each device that are under way or wait in memory for their turn."""


def map_on_devices(work: Callable[[Device, Task], Result], devices: Sequence[Device], tasks: Iterable[Task]) -> Iterator[Result]:
    """`work(device, task)` of every task, in order. A device has one task at a time, in a thread: torch lets go of Python's lock.

    Args:
        work: its exceptions are raised here, at the task's turn.
        devices: what `work` takes as its first argument, such as a network on a GPU.
        tasks: drawn from as devices become free.
    """
    if len(devices) == 1:
        yield from (work(devices[0], task) for task in tasks)
        return
    free: SimpleQueue[Device] = SimpleQueue()
    for device in devices:
        free.put(device)

    def run(task: Task) -> Result:
        device = free.get()
        try:
            return work(device, task)
        finally:
            free.put(device)

    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(len(devices)) as pool:
        try:
            for task in tasks:
                waiting.append(pool.submit(run, task))
                if len(waiting) == AHEAD * len(devices):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
