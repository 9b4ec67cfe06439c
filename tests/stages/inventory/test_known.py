"""What was measured once is not decoded again, and the result is that of a fresh run: pytest tests/stages/inventory/test_known.py"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Hashable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pipeline.contracts.clips import read_rejected
from pipeline.contracts.outputs import Work
from pipeline.contracts.sources import SOURCES, SOURCES_SCHEMA, read_sources
from pipeline.params import ClipParams, load_params
from pipeline.workers import Workers
from stages.inventory.inventory import run
from stages.inventory.known import Known
from stages.inventory.listing import Candidate
from stages.inventory.measure import Hashed, Named, Passing, crashed, hash_one, measure
from stages.inventory.measured import Outcome, outcome_from
from stages.inventory.reasons import REASONS
from stages.inventory.survey import survey
from stages.inventory.watchdog import was_killed

ROOT = Path(__file__).resolve().parents[3]
TINY = ROOT / "tests" / "presets" / "tiny.yaml"
CLIP = ClipParams(frame_size_px=32, fps=10, num_frames=16, window_stride=2, fit="pad", max_sec=10.0)
MakeClip = Callable[..., Path]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, make_clip: MakeClip) -> Path:
    """Five short clips of one class, one of them too short, and a file that is none."""
    raw = tmp_path_factory.mktemp("clips")
    for i in range(5):
        make_clip(raw / "a" / f"{i}.mp4", 1.0 if i == 4 else 1.8, tone_hz=300 + 70 * i)
    (raw / "a" / "text.mp4").write_text("no video")
    return raw


@pytest.fixture
def raw(clips: Path, tmp_path: Path) -> Path:
    """A copy of `clips` to change."""
    shutil.copytree(clips, tmp_path / "raw")
    return tmp_path / "raw"


def inventory_of(raw: Path, out: Path) -> int:
    """Number of contents that were decoded."""
    decoded = run(seed=7, clip=CLIP, inventory=load_params(TINY).inventory, workers=Workers(1), source=raw, out=out)["decoded"]
    assert isinstance(decoded, int)
    return decoded


def written(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_only_new_contents_are_decoded_and_the_bytes_are_those_of_a_fresh_run(raw: Path, tmp_path: Path, make_clip: MakeClip) -> None:
    out = tmp_path / "inventory"
    assert inventory_of(raw, out) == 6
    assert inventory_of(raw, out) == 0
    make_clip(raw / "b" / "new.mp4", 1.8, tone_hz=1000)
    shutil.move(raw / "a" / "0.mp4", raw / "b" / "moved.mp4")
    (raw / "a" / "1.mp4").unlink()
    assert inventory_of(raw, out) == 1
    assert inventory_of(raw, tmp_path / "fresh" / "inventory") == 6
    assert written(out) == written(tmp_path / "fresh" / "inventory")
    assert len(read_sources(out)) == 6


def test_what_other_code_measured_is_not_taken_over(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "inventory"
    inventory_of(raw, out)
    before = written(out)
    table = pq.read_table(out / "sources.parquet")
    kept = pc.equal(table["sha256"], table["sha256"][0])
    made_by = pc.if_else(kept, table["made_by"], pa.scalar("other code"))
    pq.write_table(table.set_column(table.schema.get_field_index("made_by"), "made_by", made_by), out / "sources.parquet")
    assert inventory_of(raw, out) == 5
    assert written(out) == before


def test_a_damaged_table_of_the_last_run_is_measured_anew(raw: Path, tmp_path: Path) -> None:
    inventory_of(raw, tmp_path / "inventory")
    (tmp_path / "inventory" / "sources.parquet").write_bytes(b"PAR1 and nothing")
    assert inventory_of(raw, tmp_path / "inventory") == 6


def test_killed_at_any_moment_what_was_measured_is_kept(raw: Path, tmp_path: Path, make_clip: MakeClip) -> None:
    for i in range(5, 12):
        make_clip(raw / "a" / f"{i}.mp4", 1.8, tone_hz=300 + 70 * i)
    script = (f"from pathlib import Path; from tests.stages.inventory.test_known import inventory_of\n"
              f"if __name__ == '__main__': inventory_of(Path({str(raw)!r}), Path({str(tmp_path / 'inventory')!r}))\n")
    (tmp_path / "killed.py").write_text(script)
    killed = subprocess.Popen([sys.executable, str(tmp_path / "killed.py")], env={**os.environ, "PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 60
    while not any(path.read_bytes().count(b"\n") >= 3 for path in tmp_path.glob(f".wip/inventory/*/scratch/{SOURCES}.jsonl")):
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    journal = next(tmp_path.glob(f".wip/inventory/*/scratch/{SOURCES}.jsonl"))
    kept = journal.read_bytes().count(b"\n")
    with journal.open("a") as file:
        file.write('{"sha256": "torn')
    shutil.copy(raw / "a" / "0.mp4", raw / "a" / "another_signature.mp4")
    assert inventory_of(raw, tmp_path / "inventory") == 13 - kept
    assert inventory_of(raw, tmp_path / "fresh" / "inventory") == 13
    assert written(tmp_path / "inventory") == written(tmp_path / "fresh" / "inventory")
    assert not (tmp_path / ".wip" / "inventory").exists()


def hashed(folder: Path, name: str) -> Hashed:
    file = hash_one(Named(folder, name))
    assert isinstance(file, Hashed)
    return file


def test_a_file_that_changes_while_it_is_read_is_noticed(raw: Path) -> None:
    path = raw / "a" / "0.mp4"
    before = hashed(raw, "a/0.mp4")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.mtime_ns, before.mtime_ns))  # same size, same time
    same_time = measure(before)
    path.write_bytes(bytes(content) + b"more")
    longer = measure(before)
    path.unlink()
    gone = measure(before)
    assert [found.reason for found in (same_time, longer, gone)] == ["changed_while_read", "changed_while_read", "unreadable"]
    assert all(isinstance(found, Passing) and found.detail for found in (same_time, longer, gone))


def test_the_next_copy_is_tried_where_the_first_changed_while_it_was_read(raw: Path, tmp_path: Path) -> None:
    class Meanwhile(Known[Outcome]):
        """Another program writes to the first copy between its hashing and its measuring."""

        def get(self, key: Hashable) -> Outcome | None:
            if key == first.sha256 and (raw / "a/0.mp4").stat().st_mtime_ns == first.mtime_ns:
                os.utime(raw / "a/0.mp4", ns=(0, 0))
            return super().get(key)

    shutil.copy(raw / "a/0.mp4", raw / "a/copy.mp4")
    first = hashed(raw, "a/0.mp4")
    work = Work(folder=tmp_path, scratch=tmp_path, counts={})
    with Meanwhile(work, SOURCES, SOURCES_SCHEMA, "this code", parse=outcome_from, row=Outcome.row, key=Outcome.key) as known:
        found = survey(raw, [Candidate("a/0.mp4", "a"), Candidate("a/copy.mp4", "a")], known, Workers(1))
    assert [(candidate.path, outcome.sha256) for candidate, outcome in found.files] == [("a/copy.mp4", first.sha256)]
    assert [(file.path, file.reason) for file in found.passing] == [("a/0.mp4", "changed_while_read")]


def test_a_decoder_that_hangs_is_killed_and_the_run_goes_on() -> None:
    hangs = ("[dog := __import__('stages.inventory.watchdog', fromlist=['watchdog']).watchdog(0.5), dog.__enter__(), "
             "__import__('re').match('(a+)+b', 'a' * 64)]")  # holds the interpreter, as native code can
    assert list(Workers(2).map(eval, ["1", hangs, "3"], on_crash=lambda _, code: was_killed(code))) == [1, True, 3]


def test_a_hung_and_a_crashed_decoder_have_reasons_of_their_own(raw: Path) -> None:
    file = hashed(raw, "a/0.mp4")
    reasons = [crashed(file, code).reason for code in (-signal.SIGALRM, -signal.SIGSEGV, 1)]
    assert reasons == ["reader_hung", "reader_crashed", "reader_crashed"]
    assert set(reasons) <= set(REASONS)


def test_a_pipe_is_no_file(raw: Path, tmp_path: Path) -> None:
    os.mkfifo(raw / "a" / "pipe.mp4")
    inventory_of(raw, tmp_path / "inventory")
    rejected = read_rejected(tmp_path / "inventory").set_index("source_path")
    assert rejected.loc["a/pipe.mp4", ["reason", "detail"]].tolist() == ["unreadable", "no regular file"]


def test_a_copy_of_what_was_measured_is_a_duplicate_and_not_decoded(raw: Path, tmp_path: Path) -> None:
    inventory_of(raw, tmp_path / "inventory")
    shutil.copy(raw / "a" / "0.mp4", raw / "a" / "00.mp4")
    assert inventory_of(raw, tmp_path / "inventory") == 0
    assert read_rejected(tmp_path / "inventory").set_index("source_path").loc["a/00.mp4", "reason"] == "duplicate"
