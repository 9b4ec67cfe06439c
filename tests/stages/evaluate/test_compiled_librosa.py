"""librosa's machine code is made by one process at a time: two at once leave files that crash whoever loads them."""

import fcntl
import subprocess
import sys

import pytest

from stages.evaluate.compiled_librosa import compiled_librosa, lock_path


@pytest.mark.slow
def test_a_process_waits_while_another_one_compiles() -> None:
    code = "from stages.evaluate.compiled_librosa import *\nprint('asks', flush=True)\ncompiled_librosa()\nprint('has it')"
    with open(lock_path(), "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        waits = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert waits.stdout is not None and waits.stdout.readline() == "asks\n"
        with pytest.raises(subprocess.TimeoutExpired):
            waits.wait(6)  # twice what it takes when the code is there
    assert waits.communicate(timeout=300)[0] == "has it\n" and waits.returncode == 0


def test_it_is_librosa() -> None:
    assert compiled_librosa().__name__ == "librosa"
