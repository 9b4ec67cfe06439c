"""What killed runs leave behind: pytest tests/pipeline/test_dvc_locks.py"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.dvc_locks import RWLOCK, release_dead_locks
from pipeline.errors import RunError


@pytest.fixture
def lock_file(tmp_path: Path) -> Path:
    (tmp_path / RWLOCK).parent.mkdir(parents=True)
    return tmp_path / RWLOCK


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A living process whose command line names dvc, as that of a DVC at work does."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "dvc"], cwd=tmp_path)
    yield process
    process.kill()
    process.wait()


def held_by(lock_file: Path, pid: int) -> None:
    entry = {"pid": pid, "cmd": "/somewhere/bin/dvc repro dit"}
    lock_file.write_text(json.dumps({"write": {"/p/data/dit": entry}, "read": {"/p/data/latents": [entry]}}))


def test_nothing_held_is_nothing_done(tmp_path: Path) -> None:
    assert release_dead_locks(tmp_path) == []


def test_entries_of_a_dead_process_go(tmp_path: Path, lock_file: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    held_by(lock_file, dead.pid)
    assert release_dead_locks(tmp_path) == [dead.pid]
    assert json.loads(lock_file.read_text()) == {}


def test_a_number_that_another_program_has_now_is_dead_too(tmp_path: Path, lock_file: Path) -> None:
    held_by(lock_file, os.getppid())  # lives, and is no DVC
    assert release_dead_locks(tmp_path) == [os.getppid()]


def test_a_dvc_that_started_after_the_entry_was_written_is_not_its_holder(
        tmp_path: Path, lock_file: Path, sleeper: subprocess.Popen[bytes]) -> None:
    held_by(lock_file, sleeper.pid)
    os.utime(lock_file, (time.time() - 3600, time.time() - 3600))
    assert release_dead_locks(tmp_path) == [sleeper.pid]


def test_a_living_dvc_is_left_alone(tmp_path: Path, lock_file: Path, sleeper: subprocess.Popen[bytes]) -> None:
    held_by(lock_file, sleeper.pid)
    before = lock_file.read_text()
    with pytest.raises(RunError, match=rf"already at work here \(process {sleeper.pid}: dvc repro dit\); wait for it, or stop it"):
        release_dead_locks(tmp_path)
    assert lock_file.read_text() == before


def test_a_lock_file_that_was_cut_off_is_written_anew(tmp_path: Path, lock_file: Path) -> None:
    lock_file.write_text('{"write": {"/p/da')
    assert release_dead_locks(tmp_path) == [0]
    assert json.loads(lock_file.read_text()) == {}


def test_a_stage_that_lost_its_dvc_is_named(tmp_path: Path) -> None:
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/endless.py").write_text("import time\nprint('up', flush=True)\ntime.sleep(60)\n")
    orphan = subprocess.Popen([sys.executable, "-m", "stages.endless"], cwd=tmp_path, stdout=subprocess.PIPE)
    assert orphan.stdout is not None
    try:
        orphan.stdout.readline()
        with pytest.raises(RunError, match=rf"stages.endless is already at work here \(process {orphan.pid}\)"):
            release_dead_locks(tmp_path)
    finally:
        orphan.kill()
        orphan.wait()
        orphan.stdout.close()
    assert release_dead_locks(tmp_path) == []
