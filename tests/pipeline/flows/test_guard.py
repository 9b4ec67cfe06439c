"""A command under guard ends with its starter: pytest tests/pipeline/flows/test_guard.py"""

import subprocess
import time
from pathlib import Path

import psutil
import pytest

from pipeline.flows.guard import guard_command

ROOT = Path(__file__).parents[3]
STUBBORN = "trap '' INT TERM; (trap '' INT TERM; sleep 601) & sleep 600; sleep 600"


def guarded(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(guard_command(["sh", "-c", script]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
                            start_new_session=True)


def test_the_exit_code_is_the_commands() -> None:
    assert guarded("exit 3").wait() == 3
    assert guarded("kill -9 $$").wait() == 128 + 9


@pytest.mark.slow
def test_the_end_of_the_starter_is_the_end_of_all_even_of_those_who_will_not_or_have_lost_their_parent() -> None:
    stubborn = guarded(STUBBORN)
    orphan = guarded("(setsid sleep 602 & echo $!); sleep 600")
    assert orphan.stdout is not None and stubborn.stdin is not None and orphan.stdin is not None
    orphans = int(orphan.stdout.readline())
    deadline = time.monotonic() + 60
    while len(below := psutil.Process(stubborn.pid).children(recursive=True)) < 3:
        assert time.monotonic() < deadline
    for process in (stubborn, orphan):
        assert process.stdin is not None
        process.stdin.close()
    # Which signal ended a command is known only to whoever took its exit code: nobody is left to tell, so not 0 is all that is promised.
    assert orphan.wait(60) != 0 and not psutil.pid_exists(orphans)
    assert stubborn.wait(60) != 0
    assert not [process for process in below if process.is_running()]
