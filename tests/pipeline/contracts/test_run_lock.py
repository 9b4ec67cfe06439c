"""Two runs of one stage at once: pytest tests/pipeline/contracts/test_run_lock.py"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.contracts.outputs import stage_output
from pipeline.errors import RunError

HOLD = """
import sys
from pathlib import Path
from pipeline.contracts.outputs import stage_output
with stage_output(Path(sys.argv[1]), params={}, inputs={}, code=Path(sys.argv[2])) as work:
    (work.folder / "half").write_text("of it")
    print("at work", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def at_work(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process in the middle of writing tmp_path/out."""
    (tmp_path / "code").mkdir()
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "out", tmp_path / "code"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "at work\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_is_refused_until_the_first_is_killed_whose_work_it_takes_up(at_work: subprocess.Popen[str], tmp_path: Path) -> None:
    output = {"params": {}, "inputs": {}, "code": tmp_path / "code"}
    refused = pytest.raises(RunError, match=rf"out is being written by another run \(process {at_work.pid} on .*\); wait")
    with refused as told, stage_output(tmp_path / "out", **output):
        pass
    assert "\n" not in str(told.value)
    at_work.send_signal(signal.SIGKILL)
    at_work.wait()
    with stage_output(tmp_path / "out", **output) as work:
        assert (work.folder / "half").read_text() == "of it"
        with stage_output(tmp_path / "another", **output):
            pass
    assert (tmp_path / "out" / "half").exists()
