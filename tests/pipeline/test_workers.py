"""Order, bounds and crashes of the worker pool: pytest tests/pipeline/test_workers.py"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.errors import TransientError
from pipeline.workers import Workers

CRASH = "__import__('os')._exit(3)"


@pytest.mark.parametrize("num_workers", [1, 2])
def test_results_come_in_the_order_of_the_items(num_workers: int) -> None:
    slow_first = ["__import__('time').sleep(0.3) or 0", *[str(i) for i in range(1, 9)]]
    assert list(Workers(num_workers).map(eval, slow_first)) == list(range(9))


def test_items_are_drawn_only_as_they_are_needed() -> None:
    drawn = []
    items = (drawn.append(i) or str(i) for i in range(100))
    results = Workers(2).map(eval, items)
    assert next(results) == 0
    assert len(drawn) <= 4
    results.close()


def test_a_crash_costs_only_the_item_that_crashed() -> None:
    items = ["1", CRASH, "3", "4", CRASH, "6", "7"]
    results = Workers(2).map(eval, items, on_crash=lambda item, code: f"died: {code}")
    assert list(results) == [1, "died: 3", 3, 4, "died: 3", 6, 7]


def test_a_crash_between_two_results_loses_none() -> None:
    results = Workers(2).map(eval, ["1", CRASH, *"3456789"], on_crash=lambda item, code: f"died: {code}")
    assert next(results) == 1
    time.sleep(1)  # until the pool knows
    assert list(results) == ["died: 3", 3, 4, 5, 6, 7, 8, 9]


def test_an_item_killed_by_a_signal_is_told_so() -> None:
    items = ["1", "__import__('signal').raise_signal(__import__('signal').SIGALRM)", "3"]
    assert list(Workers(2).map(eval, items, on_crash=lambda item, code: code)) == [1, -signal.SIGALRM, 3]


def test_results_that_were_there_before_a_crash_are_not_made_again(tmp_path: Path) -> None:
    def logged(i: int) -> str:
        return f"open({str(tmp_path / 'log')!r}, 'a').write('{i}') and {i}"

    late = "__import__('time').sleep(1) or __import__('os')._exit(3)"
    assert list(Workers(2).map(eval, [late, *(logged(i) for i in range(3))], on_crash=lambda item, code: code)) == [3, 0, 1, 2]
    assert sorted((tmp_path / "log").read_text()) == ["0", "1", "2"]


def test_a_crash_without_an_answer_stops_the_run_in_one_line() -> None:
    with pytest.raises(TransientError, match=r"a worker process died .* finished work is kept: run the same command again"):
        list(Workers(2).map(eval, ["1", CRASH]))


def test_an_exception_of_the_function_is_raised_here() -> None:
    with pytest.raises(ZeroDivisionError):
        list(Workers(2).map(eval, ["1", "1 / 0"]))


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "from pipeline.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    for pid in Workers(2).map(eval, [\"__import__('os').getpid()\", \"__import__('time').sleep(60)\"]):\n"
        "        print(pid, flush=True)\n")
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 60
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(worker)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text() if Path("/proc/self").exists() else "() S"
    except (ProcessLookupError, FileNotFoundError):  # it ended between two looks
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"
