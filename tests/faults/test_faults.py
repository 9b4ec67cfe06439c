"""What breaks outside of the program: after each, one command goes on. pytest tests/faults

The long kit, with random kills over the real stages, is a command: python -m tests.benchmarks.faults
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from pipeline.check import check_project
from pipeline.damage import Damage, remove_damaged
from pipeline.dvc_tool import dvc_command, dvc_environment
from tests.faults.small_disk import small_disk

TINY = Path(__file__).resolve().parents[1] / "presets" / "tiny.yaml"
ROOT = Path(__file__).resolve().parents[2]
WRITE = "import os, random, sys; os.makedirs('data/{0}', exist_ok=True); random.seed('{0}'); " \
        "[open(f'data/{0}/{{i}}.tar', 'wb').write(random.randbytes(100_000)) for i in range(3)]"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two stages of three files each, reproduced; outputs and cache share their bytes, as in the real project."""
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc/config").write_text("[core]\n    analytics = false\n[cache]\n    type = hardlink,copy\n")
    (root / "data").mkdir()
    (root / ".gitignore").write_text("/data/\n")
    shutil.copy(TINY, root / "params.yaml")
    stages = {name: {"cmd": f'python -c "{WRITE.format(name)}"', "outs": [f"data/{name}"], **more}
              for name, more in (("demo_data", {}), ("decode", {"deps": ["data/demo_data"]}))}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    subprocess.run(["git", "init", "-q", "."], cwd=root, check=True)
    repro(root)
    return root


def repro(root: Path) -> str:
    """`dvc repro`, which must succeed."""
    done = subprocess.run(dvc_command("repro"), cwd=root, env=dvc_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def state(root: Path) -> dict[str, bytes]:
    """dvc.lock and every output."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in (root / "dvc.lock", *sorted((root / "data").rglob("*.tar")))}


def cut(file: Path) -> None:
    os.truncate(file, 50_000)


def flip(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"other bytes")


@pytest.mark.slow
@pytest.mark.parametrize("damage", [cut, flip])
def test_a_damaged_output_is_made_again_and_not_taken_from_the_damaged_cache(damage: Callable[[Path], None], project: Path) -> None:
    undisturbed = state(project)
    file = project / "data/decode/1.tar"
    file.chmod(0o644)
    damage(file)
    said = check_project(project)
    assert "removed data/decode/1.tar, damaged since it was made; the next run makes it again" in said
    assert "Running stage 'decode'" in repro(project)
    assert state(project) == undisturbed
    assert remove_damaged(project) == Damage([], []), "what is whole stays"


@pytest.mark.slow
def test_what_a_person_has_written_stays_and_is_told(project: Path) -> None:
    file = project / "data/decode/1.tar"
    size = file.stat().st_size
    for content in (b"a new output, made by hand", b"x" * size):
        file.unlink()
        file.write_bytes(content)
        [said] = [line for line in check_project(project) if "1.tar" in line]
        assert said.startswith("data/decode/1.tar is not what its stage made; to have that back: dvc checkout --force")
        assert file.read_bytes() == content
    subprocess.run(dvc_command("checkout", "--force"), cwd=project, env=dvc_environment(), check=True)
    assert remove_damaged(project) == Damage([], [])


@pytest.mark.slow
def test_a_dead_process_that_holds_dvcs_lock_is_passed_over(project: Path) -> None:
    undisturbed = state(project)
    slow = yaml.safe_load((project / "dvc.yaml").read_text())
    quick = (project / "dvc.yaml").read_text()
    slow["stages"]["decode"]["cmd"] = "echo $$ > started; exec sleep 600"
    (project / "dvc.yaml").write_text(yaml.safe_dump(slow))
    run = subprocess.Popen(dvc_command("repro"), cwd=project, env=dvc_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (project / "started").exists() or not (project / "started").read_text().strip():
        assert run.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    run.kill()
    run.wait()
    os.kill(int((project / "started").read_text()), signal.SIGKILL)
    assert "decode" in (project / ".dvc/tmp/rwlock").read_text(), "the dead one holds the lock"
    (project / "dvc.yaml").write_text(quick)
    assert "removed a lock that a killed run had left; its stages go on where they stopped" in check_project(project)
    repro(project)
    assert state(project) == undisturbed


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    with small_disk(tmp_path / "disk", kilobytes=1000) as folder:
        if folder is None:
            pytest.skip("no right to mount a small file system here")
        yield folder


STAGE = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from pipeline import stage
from pipeline.contracts.outputs import stage_output

def run(params):
    with stage_output(Path("data/decode"), params={{}}, inputs={{}}, code=Path("code")) as work:
        for i in range(8):
            if not (work.folder / str(i)).exists():
                part = work.folder / f".{{i}}.tmp"
                part.write_bytes(bytes([i]) * 200_000)
                part.rename(work.folder / str(i))
    return {{"files": 8}}

stage.stage_main("decode", run)
"""


@pytest.mark.slow
def test_a_full_disk_stops_a_stage_with_one_line_and_it_goes_on_when_there_is_room(small: Path, tmp_path: Path) -> None:
    (small / "code").mkdir()
    shutil.copy(TINY, small / "params.yaml")
    (tmp_path / "stage.py").write_text(STAGE.format(root=str(ROOT)))
    (small / "ballast").write_bytes(bytes(300_000))
    command = [sys.executable, str(tmp_path / "stage.py")]
    done = subprocess.run(command, cwd=small, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("decode: no space left on the disk")
    kept = list((small / "data/.wip").rglob("[0-9]"))
    assert kept and not (small / "data/decode").exists(), "what was finished is kept, and nothing half is taken for whole"
    (small / "ballast").unlink()
    subprocess.run(["mount", "-o", "remount,size=3m", str(small)], check=True)
    subprocess.run(command, cwd=small, check=True, capture_output=True)
    assert [(small / "data/decode" / str(i)).read_bytes() for i in range(8)] == [bytes([i]) * 200_000 for i in range(8)]
