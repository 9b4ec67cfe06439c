"""How a stage ends, other than well: pytest tests/pipeline/test_stage.py"""

import errno
from types import SimpleNamespace

import pytest

from pipeline import stage
from pipeline.errors import TRY_AGAIN, DataError, TransientError
from pipeline.stage import disk_is_full, stage_main


def full(_params: object) -> dict[str, object]:
    raise OSError(errno.ENOSPC, "No space left on device", "data/x")


def torch_says(_params: object) -> dict[str, object]:
    raise RuntimeError("PytorchStreamWriter failed writing file data/0: No space left on device")


def mistaken(_params: object) -> dict[str, object]:
    raise DataError("clip a has no sound; run: dvc repro decode")


@pytest.mark.parametrize("run", [full, torch_says])
def test_a_full_disk_is_one_line_with_the_next_step(run, monkeypatch) -> None:
    monkeypatch.setattr(stage, "load_params", lambda path: SimpleNamespace(compute=None))
    monkeypatch.setattr(stage, "prepare_torch", lambda compute: None)
    with pytest.raises(SystemExit, match=r"^decode: no space left on the disk .*run the same command again, finished work is kept$"):
        stage_main("decode", run)


def test_a_users_mistake_is_its_line_and_a_defect_keeps_its_traceback(monkeypatch) -> None:
    monkeypatch.setattr(stage, "load_params", lambda path: SimpleNamespace(compute=None))
    monkeypatch.setattr(stage, "prepare_torch", lambda compute: None)
    with pytest.raises(SystemExit, match=r"^decode: clip a has no sound; run: dvc repro decode$"):
        stage_main("decode", mistaken)
    with pytest.raises(ZeroDivisionError):
        stage_main("decode", lambda params: {"x": 1 // 0})
    assert not disk_is_full(RuntimeError("shapes differ"))


def test_what_may_pass_is_a_line_and_the_exit_code_by_which_the_flow_knows_it(monkeypatch, capsys) -> None:
    def interrupted(_params: object) -> dict[str, object]:
        raise TransientError("a worker was killed; run the same command again")

    monkeypatch.setattr(stage, "load_params", lambda path: SimpleNamespace(compute=None))
    monkeypatch.setattr(stage, "prepare_torch", lambda compute: None)
    with pytest.raises(SystemExit) as ended:
        stage_main("decode", interrupted)
    assert ended.value.code == TRY_AGAIN == 75
    assert capsys.readouterr().err == "decode: a worker was killed; run the same command again\n"
