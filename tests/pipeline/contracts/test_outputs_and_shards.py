"""Atomic, resumable outputs and shards: pytest tests/pipeline/contracts"""

import json

import numpy as np
import pytest
import webdataset as wds

from pipeline.contracts.outputs import SUCCESS, require_whole, stage_output
from pipeline.contracts.shards import ShardReader
from pipeline.errors import DataError
from tests.shards import write_shards


class PowerCut(RuntimeError):
    pass


def begin(tmp_path, size=1, inputs=None):
    code = tmp_path / "code"
    code.mkdir(exist_ok=True)
    return stage_output(tmp_path / "data" / "decode", params={"decode": {"size": size}}, inputs=inputs or {}, code=code)


def test_a_killed_stage_leaves_the_old_output_and_its_own_work(tmp_path) -> None:
    with begin(tmp_path) as work:
        (work.folder / "a").write_text("old")
    with pytest.raises(PowerCut), begin(tmp_path, size=2) as work:
        (work.folder / "a").write_text("new")
        raise PowerCut
    assert (tmp_path / "data/decode/a").read_text() == "old"
    with begin(tmp_path, size=2) as work:
        assert (work.folder / "a").read_text() == "new"  # taken up
    assert (tmp_path / "data/decode/a").read_text() == "new"


def test_work_of_other_params_is_not_taken_up(tmp_path) -> None:
    with pytest.raises(PowerCut), begin(tmp_path, size=1) as work:
        (work.folder / "half").write_text("")
        raise PowerCut
    with begin(tmp_path, size=2) as work:
        assert not (work.folder / "half").exists()


def test_work_of_another_input_or_code_is_not_taken_up(tmp_path) -> None:
    for change in (lambda: (tmp_path / "input").write_text("2"), lambda: (tmp_path / "code" / "a.py").write_text("1")):
        (tmp_path / "input").write_text("1")
        with pytest.raises(PowerCut), begin(tmp_path, inputs={"x": tmp_path / "input"}) as work:
            (work.folder / "half").write_text("")
            raise PowerCut
        change()
        with begin(tmp_path, inputs={"x": tmp_path / "input"}) as work:
            assert not (work.folder / "half").exists()


def test_work_on_other_bytes_of_an_earlier_stage_is_not_taken_up(tmp_path) -> None:
    """The earlier stage was run again with the same params and other code: only its bytes tell."""
    def earlier(text: str) -> None:
        with stage_output(tmp_path / "data" / "encode", params={}, inputs={}, code=tmp_path) as work:
            (work.folder / "shard").write_text(text)

    earlier("1")
    with pytest.raises(PowerCut), begin(tmp_path, inputs={"encode": tmp_path / "data" / "encode"}) as work:
        (work.folder / "half").write_text("")
        raise PowerCut
    earlier("2")
    with begin(tmp_path, inputs={"encode": tmp_path / "data" / "encode"}) as work:
        assert not (work.folder / "half").exists()


def test_scratch_of_a_stage_that_was_killed_after_its_output_was_taken_is_thrown_away(tmp_path) -> None:
    with pytest.raises(PowerCut), begin(tmp_path) as work:
        (work.scratch / "checkpoint.pt").write_text("last step")
        room = work.folder
        raise PowerCut
    room.rename(tmp_path / "taken")
    with begin(tmp_path) as work:
        assert not (work.scratch / "checkpoint.pt").exists()


def test_success_file_says_counts_and_params_and_no_time(tmp_path) -> None:
    with begin(tmp_path) as work:
        work.counts["clips"] = 3
    record = json.loads((tmp_path / "data/decode" / SUCCESS).read_text())
    assert record["counts"] == {"clips": 3} and record["params"] == {"decode": {"size": 1}}
    first = (tmp_path / "data/decode" / SUCCESS).read_bytes()
    with begin(tmp_path) as work:
        work.counts["clips"] = 3
    assert (tmp_path / "data/decode" / SUCCESS).read_bytes() == first


def test_a_folder_without_success_is_refused_with_the_next_command(tmp_path) -> None:
    (tmp_path / "decode").mkdir()
    with pytest.raises(DataError, match="dvc repro decode"):
        require_whole(tmp_path / "decode")


def write_some(folder, shard_bytes=1_000_000):
    rng = np.random.default_rng(0)
    with stage_output(folder, params={}, inputs={}, code=folder.parent) as work:
        write_shards(work, [(f"{i:016x}", {
            "frames.npy": rng.integers(0, 255, (4, 8, 8, 3), dtype=np.uint8),
            "meta.json": {"name": f"été {i}", "split": "test" if i == 4 else "train"}}) for i in range(6)], shard_bytes)


def test_shards_read_back_in_order_and_by_split(tmp_path) -> None:
    write_some(tmp_path / "out", shard_bytes=2000)
    train = ShardReader(tmp_path / "out", "train")
    assert train.keys == [f"{i:016x}" for i in (0, 1, 2, 3, 5)]
    assert train[4]["meta"] == {"name": "été 5", "split": "train"} and train[4]["frames"].shape == (4, 8, 8, 3)
    assert len(list((tmp_path / "out").glob("train-*.tar"))) > 1
    assert ShardReader(tmp_path / "out", "test").keys == [f"{4:016x}"]


def test_webdataset_reads_them_too(tmp_path) -> None:
    write_some(tmp_path / "out")
    samples = list(wds.WebDataset(str(tmp_path / "out/train-000000.tar"), shardshuffle=False).decode())
    np.testing.assert_array_equal(samples[2]["frames.npy"], ShardReader(tmp_path / "out", "train")[2]["frames"])


def test_same_samples_same_bytes(tmp_path) -> None:
    for name in ("a", "b"):
        write_some(tmp_path / name)
    for path in [*sorted((tmp_path / "a").glob("*.tar")), tmp_path / "a/index.parquet"]:
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_missing_field_and_missing_shard_are_named(tmp_path) -> None:
    write_some(tmp_path / "out")
    with pytest.raises(DataError, match=r"no field audio.npy, it has: frames.npy, meta.json"):
        ShardReader(tmp_path / "out", fields=["audio.npy"])
    (tmp_path / "out/test-000000.tar").unlink()
    with pytest.raises(DataError, match="missing though the index names it"):
        ShardReader(tmp_path / "out", "test")[0]
