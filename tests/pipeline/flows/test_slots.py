"""Named limits: pytest tests/pipeline/flows/test_slots.py"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.errors import RunError
from pipeline.flows.slots import slot

HOLDS = """
import subprocess, time
from pipeline.flows.slots import slot
with slot("gpu", 1, "dit", wait=lambda seconds: False, say=print) as held:
    child = subprocess.Popen(["sleep", "600"], pass_fds=[held.fileno()])
    print(child.pid, flush=True)
    time.sleep(600)
"""
NEVER = lambda seconds: False  # noqa: E731


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_as_many_as_there_are_and_one_who_waits_is_told_for_whom() -> None:
    said: list[str] = []
    with slot("cpu", 2, "decode of a", wait=NEVER, say=said.append) as first, slot("cpu", 2, "encode of b", wait=NEVER, say=said.append):
        assert first is not None and not said
        with slot("gpu", 1, "dit of a", wait=NEVER, say=said.append) as other:
            assert other is not None, "another name is another limit"
        with slot("cpu", 2, "latents of c", wait=lambda seconds: True, say=said.append) as third:
            assert third is None, "waiting was ended"
    assert said == ["waits for the cpu, which decode of a, encode of b have (flow.cpu: 2)"]
    with slot("cpu", 1, "latents of c", wait=NEVER, say=said.append) as third:
        assert third is not None, "who has left holds nothing"


def test_a_killed_holder_holds_nothing_and_one_who_inherits_does(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDS], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    holder.kill()
    holder.wait()
    with slot("gpu", 1, "klvae", wait=lambda seconds: True, say=lambda text: None) as held:
        assert held is None, "the stage under the killed flow still works"
    os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 60
    with slot("gpu", 1, "klvae", wait=lambda seconds: time.sleep(0.05) or time.monotonic() > deadline, say=lambda text: None) as held:
        assert held is not None


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(RunError, match=r"cannot be written .* set XDG_CACHE_HOME"), slot("gpu", 1, "dit", wait=NEVER, say=print):
        pass
