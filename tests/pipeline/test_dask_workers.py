"""The same map over a Dask cluster: pytest tests/pipeline/test_dask_workers.py"""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from pipeline.errors import RunError
from pipeline.workers import Workers

# A worker that dies in the moment of its start is not started again.
CRASH = "__import__('time').sleep(0.3) or __import__('os')._exit(3)"


@contextlib.contextmanager
def local_cluster() -> Iterator[Workers]:
    distributed = pytest.importorskip("distributed")
    import dask

    with dask.config.set({"distributed.scheduler.allowed-failures": 1}), distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as local:
        yield Workers(dask_scheduler=local.scheduler_address)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Workers]:
    with local_cluster() as workers:
        yield workers


def test_results_come_in_the_order_of_the_items_and_a_few_at_a_time(cluster: Workers) -> None:
    drawn = []
    slow_first = ["__import__('time').sleep(0.3) or 0", *[str(i) for i in range(1, 30)]]
    results = cluster.map(eval, (drawn.append(item) or item for item in slow_first))
    assert next(results) == 0
    assert len(drawn) <= 4
    assert list(results) == list(range(1, 30))


def test_an_exception_of_the_function_is_raised_here(cluster: Workers) -> None:
    with pytest.raises(ZeroDivisionError):
        list(cluster.map(eval, ["1", "1 / 0", "3"]))


def test_an_item_whose_worker_is_lost_goes_to_another(cluster: Workers, tmp_path: Path) -> None:
    once = f"__import__('pathlib').Path({str(tmp_path / 'tried')!r})"
    item = f"{once}.exists() or {once}.touch() or {CRASH}"
    assert list(cluster.map(eval, ["1", item, "3"])) == [1, True, 3]


def test_a_crash_costs_only_the_item_that_crashes_everywhere() -> None:
    with local_cluster() as workers:
        assert list(workers.map(eval, ["1", CRASH, "3"], on_crash=lambda item, code: f"died: {item[-2]}")) == [1, "died: 3", 3]
        with pytest.raises(BrokenProcessPool):
            list(workers.map(eval, ["1", CRASH]))


def test_a_worker_elsewhere_is_refused(cluster: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=rf"would make other bytes: folder .* \(expected {tmp_path}\); start it in the project's folder"):
        list(cluster.map(eval, ["1"]))


def test_nobody_at_the_address_is_one_line_within_seconds() -> None:
    started = time.monotonic()
    line = r"^compute\.dask_scheduler is tcp://127\.0\.0\.1:9, where no Dask scheduler answers .* or set compute\.dask_scheduler to null$"
    with pytest.raises(RunError, match=line):
        list(Workers(dask_scheduler="tcp://127.0.0.1:9").map(eval, ["1"]))
    assert time.monotonic() - started < 20
