"""New data costs its own size, and the result equals a fresh run's: pytest tests/pipeline/contracts/test_shard_writer.py"""

import errno
import hashlib
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.contracts import outputs
from pipeline.contracts.outputs import hash_file, stage_output
from pipeline.contracts.recipe import address
from pipeline.contracts.shard_writer import Fields, Tally, Unit, _HashedFile, plan_shards, write_units
from pipeline.contracts.shards import ShardReader

BYTES = 4096


class PowerCut(RuntimeError):
    pass


def unit(number: int, *, recipe: str = "a", class_id: int = 0, num_bytes: int = BYTES, split: str = "train") -> Unit[int]:
    name = hashlib.sha256(str(number).encode()).hexdigest()[:16] + "_000000"
    return Unit(name, split, num_bytes, address(recipe, name), {"class_id": class_id, "split": split}, number)


class Stage:
    """Makes of each number two samples, and counts what it made."""

    def __init__(self, out: Path) -> None:
        self.out, self.made = out, list[int]()
        self.stop_after: int | None = None

    def run(self, units: Sequence[Unit[int]], inputs: str = "x", shard_bytes: int = 8 * BYTES) -> Tally:
        self.made.clear()
        names = {unit.task: unit for unit in units}

        def make(tasks: Iterator[int]) -> Iterator[list[tuple[str, Fields]]]:
            for number in tasks:
                if self.stop_after is not None and len(self.made) >= self.stop_after:
                    raise PowerCut
                self.made.append(number)
                yield [(f"{names[number].name}-{part}", {"data.npy": np.full(500, number * 2 + part), "meta.json": {"gain": number / 2}})
                       for part in (0, 1)]

        with stage_output(self.out, params={}, inputs={"x": inputs}, code=Path(__file__).parent, takes_over=True) as work:
            return write_units(work, units, shard_bytes, make)

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.out.iterdir())}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "data" / "out")


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[..., dict[str, bytes]]:
    """What a run that begins with nothing leaves."""

    def run(units: Sequence[Unit[int]], inputs: str = "x", **how: Any) -> dict[str, bytes]:
        stage = Stage(tmp_path / "fresh" / f"{len(list(tmp_path.iterdir()))}" / "out")
        stage.run(units, inputs, **how)
        return stage.files()

    return run


def test_only_new_units_are_made_and_the_bytes_are_those_of_a_fresh_run(stage: Stage, fresh: Callable[..., dict[str, bytes]]) -> None:
    stage.run([unit(i) for i in range(100)])
    before = {name: (stage.out / name).stat().st_ino for name in stage.files()}
    more = [unit(i) for i in range(101)]
    assert stage.run(more, "y") == Tally(made=1, taken_over=100)
    assert stage.made == [100]
    assert stage.files() == fresh(more, "y")
    # All shards but the one (or two) that the new unit fell into are the same files still.
    tars = [name for name in stage.files() if name.endswith(".tar")]
    assert sum((stage.out / name).stat().st_ino not in before.values() for name in tars) <= 2 < len(tars)


def test_kept_shards_are_read_once_and_not_again_until_they_are_touched(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(path: Path) -> str:
        read.append(path.name)
        return hash_file(path)

    monkeypatch.setattr(outputs, "hash_file", counted)
    stage.run([unit(i) for i in range(40)])
    shards = sorted(path.name for path in stage.out.glob("*.tar"))
    for path in stage.out.glob("*.tar"):
        os.utime(path, ns=(0, path.stat().st_mtime_ns - 10**10))  # written long ago
    stage.run([unit(i) for i in range(41)])
    read.clear()
    stage.run([unit(i) for i in range(42)])
    assert len(stage.made) == 1 and len(set(read) & set(shards)) <= 4 < len(shards)
    kept = next(path for path in stage.out.glob("*.tar") if path.name not in read)
    content = kept.read_bytes()
    kept.write_bytes(content[:700] + bytes([content[700] ^ 1]) + content[701:])
    stage.run([unit(i) for i in range(42)])
    assert kept.name in read and kept.read_bytes() == content


def test_removed_units_disappear(stage: Stage, fresh: Callable[..., dict[str, bytes]]) -> None:
    stage.run([unit(i) for i in range(40)])
    fewer = [unit(i) for i in range(40) if i % 7]
    assert stage.run(fewer, "y").made == 0
    assert stage.files() == fresh(fewer, "y")
    assert len(ShardReader(stage.out)) == 2 * len(fewer)


def test_another_recipe_makes_all_anew(stage: Stage) -> None:
    stage.run([unit(i) for i in range(10)])
    assert stage.run([unit(i, recipe="b") for i in range(10)], "y").made == 10


def test_what_is_only_told_is_put_into_what_is_taken_over(stage: Stage, fresh: Callable[..., dict[str, bytes]]) -> None:
    stage.run([unit(i) for i in range(30)])
    moved = [unit(i, class_id=i % 2, split="test" if i == 3 else "train") for i in range(30)]
    assert stage.run(moved, "y").made == 0
    assert stage.files() == fresh(moved, "y")
    sample = ShardReader(stage.out, "test")[0]
    assert sample["meta"] == {"class_id": 1, "gain": 1.5, "split": "test"}


def test_another_shard_size_makes_nothing_anew(stage: Stage, fresh: Callable[..., dict[str, bytes]]) -> None:
    units = [unit(i) for i in range(30)]
    stage.run(units)
    assert stage.run(units, "y", shard_bytes=3 * BYTES).made == 0
    assert stage.files() == fresh(units, "y", shard_bytes=3 * BYTES)


@pytest.mark.parametrize("damage", ["flipped byte", "flipped header", "longer", "cut short", "gone", "index cut short", "index empty"])
def test_a_damaged_piece_is_made_again(damage: str, stage: Stage, fresh: Callable[..., dict[str, bytes]]) -> None:
    units = [unit(i) for i in range(30)]
    stage.run(units)
    shard = stage.out / "train-000001.tar"
    content = bytearray(shard.read_bytes())
    with tarfile.open(shard) as tar:
        member = next(member for member in tar if member.name.endswith(".npy"))
    index = stage.out / "index.parquet"
    if damage.startswith("index"):
        index.write_bytes(index.read_bytes()[:1000] if damage == "index cut short" else b"")
        assert stage.run(units, "y").made == 30
        assert stage.files() == fresh(units, "y")
        return
    shard.unlink()
    if damage == "flipped byte":
        content[member.offset_data + 200] ^= 1
        shard.write_bytes(content)
    elif damage == "flipped header":
        content[3] ^= 1
        shard.write_bytes(content)
    elif damage == "longer":
        shard.write_bytes(content + b"0" * 1000)
    elif damage == "cut short":
        shard.write_bytes(content[:member.offset_data + 100])
    # What is whole of a damaged shard is copied out of it.
    assert stage.run(units, "y").made <= 8
    assert stage.files() == fresh(units, "y")


def test_a_killed_run_keeps_its_whole_shards_also_when_files_were_added_since(
    stage: Stage, fresh: Callable[..., dict[str, bytes]],
) -> None:
    units = [unit(i) for i in range(40)]
    stage.stop_after = 25
    with pytest.raises(PowerCut):
        stage.run(units)
    stage.stop_after = None
    more = [*units, unit(40), unit(41)]
    tally = stage.run(more, "y")
    assert tally.taken_over >= 25 - 8 and tally.made == len(more) - tally.taken_over
    assert stage.files() == fresh(more, "y")
    assert not (stage.out.parent / ".wip" / "out").exists()


@pytest.mark.parametrize("damage", ["shard", "rows", "rows empty"])
def test_what_a_killed_run_left_is_checked_too(damage: str, stage: Stage, fresh: Callable[..., dict[str, bytes]]) -> None:
    units = [unit(i) for i in range(40)]
    stage.stop_after = 25
    with pytest.raises(PowerCut):
        stage.run(units)
    stage.stop_after = None
    left = next((stage.out.parent / ".wip").rglob("train-000000.tar"))
    rows = left.with_name(".train-000000.tar.rows")
    if damage == "shard":
        content = bytearray(left.read_bytes())
        content[600] ^= 1
        left.write_bytes(content)
    else:
        rows.write_bytes(rows.read_bytes()[:300] if damage == "rows" else b"")
    stage.run(units)
    assert stage.files() == fresh(units)


@pytest.mark.parametrize("stop_after", [0, 1, 9, 20, 39])
def test_killed_twice_and_finished_equals_undisturbed(stop_after: int, stage: Stage, fresh: Callable[..., dict[str, bytes]]) -> None:
    units = [unit(i) for i in range(40)]
    for _ in range(2):
        stage.stop_after = stop_after
        with pytest.raises(PowerCut):
            stage.run(units)
            raise PowerCut  # what was left after the first kill took fewer steps
    stage.stop_after = None
    stage.run(units)
    assert stage.files() == fresh(units)


def test_the_cut_into_shards_keeps_within_the_size_and_parts_one_long_source_by_time() -> None:
    units = [unit(i) for i in range(200)]
    source = [Unit(f"{'7' * 16}_{i:06d}", "train", BYTES, b"", {}, i) for i in range(50)]
    shards = plan_shards([*units, *source, unit(999, num_bytes=100 * BYTES)], 10 * BYTES)
    sizes = [sum(member.num_bytes for member in members) for _, members in shards]
    assert all(size <= 10 * BYTES for size in sizes if size != 100 * BYTES) and 100 * BYTES in sizes
    names = [member.name for _, members in shards for member in members]
    assert names == sorted(names)
    assert [name for name, _ in shards] == [f"train-{i:06d}.tar" for i in range(len(shards))]


def test_a_new_unit_changes_the_content_of_two_shards_at_most() -> None:
    def contents(numbers: range) -> set[tuple[str, ...]]:
        return {tuple(member.name for member in members) for _, members in plan_shards([unit(i) for i in numbers], 10 * BYTES)}

    for count in range(50, 250):
        assert len(contents(range(count)) - contents(range(count + 1))) == 1
        assert len(contents(range(count + 1)) - contents(range(count))) <= 10  # one part may fall into a row of ever smaller ones


def test_a_full_disk_is_one_error_and_the_next_run_goes_on(stage: Stage, fresh: Callable[..., dict[str, bytes]],
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    units = [unit(i) for i in range(30)]
    with monkeypatch.context() as patch:
        patch.setattr(_HashedFile, "write", full_disk_after(40))
        with pytest.raises(OSError, match="No space left on device") as told:
            stage.run(units)
    assert told.value.__context__ is None, "no second one from closing the shard"
    stage.run(units)
    assert stage.files() == fresh(units)


def full_disk_after(calls: int) -> Callable[[_HashedFile, bytes], None]:
    """As `_HashedFile.write` on a disk that has room for so many calls."""
    write, left = _HashedFile.write, [calls]

    def on_a_small_disk(file: _HashedFile, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(file, data)

    return on_a_small_disk
