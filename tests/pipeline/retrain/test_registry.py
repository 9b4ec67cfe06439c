"""Rows, and who is champion: pytest tests/pipeline/retrain/test_registry.py"""

from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import RunError
from pipeline.retrain.registry import (
    REGISTRY,
    SCHEMA,
    champion,
    promoted_by_hand,
    read_registry,
    rolled_back,
    table_lines,
    trained,
    write_registry,
)
from pipeline.retrain.told import model_lines


def row(number: int, decision: str) -> dict[str, Any]:
    empty: dict[str, Any] = {name: "" for name in SCHEMA.names}
    return {**empty, "event": "trained", "model": f"model-{number:04d}", "decision": decision, "reason": "it is better",
            "new_files": 3, "rejected_files": 0, "data_version": "abcdef0123.dir", "metrics": '{"svg/fad_local": 1.0}',
            "champion_metrics": '{"svg/fad_local": 2.0}', "pushed": False}


ROWS = [row(1, "promoted"), row(2, "declined"), row(3, "promoted")]


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    assert read_registry(tmp_path) == []
    write_registry(tmp_path, ROWS)
    assert read_registry(tmp_path) == ROWS


def test_the_champion_is_the_last_promoted_and_rollback_takes_it_off() -> None:
    assert champion([]) == "" and champion(ROWS[:2]) == "model-0001" and champion(ROWS) == "model-0003"
    back = rolled_back(ROWS, "now")
    assert champion(back) == "model-0001"
    with pytest.raises(RunError, match=r"there is no champion before model-0001, so there is nothing to go back to"):
        rolled_back(back, "now")
    by_hand = promoted_by_hand(back, "model-0002", "now")
    assert champion(by_hand) == "model-0002"
    assert champion(rolled_back(by_hand, "now")) == "model-0001"


def test_a_model_that_is_not_there_or_is_champion_already() -> None:
    with pytest.raises(RunError, match=r"there is no model-0009 in the registry, it has: model-0001, model-0002, model-0003"):
        trained(ROWS, "model-0009")
    with pytest.raises(RunError, match=r"model-0003 is the champion already"):
        promoted_by_hand(ROWS, "model-0003", "now")


def test_a_damaged_registry_is_one_line(tmp_path: Path) -> None:
    (tmp_path / REGISTRY).parent.mkdir()
    (tmp_path / REGISTRY).write_bytes(b"PAR1 and no more")
    with pytest.raises(RunError, match=r"^data/registry\.parquet cannot be read .*restore it from a copy"):
        read_registry(tmp_path)


def test_what_is_printed_of_it() -> None:
    lines = table_lines(rolled_back(ROWS, "now"))
    assert lines[0].split() == ["model", "event", "decision", "new", "rejected", "data", "decided", "at", "champion", "reason"]
    assert lines[3].split()[:6] == ["model-0003", "trained", "promoted", "3", "0", "abcdef01"]
    assert lines[4].split()[:3] == ["model-0003", "rollback", "withdrawn"]
    shown = model_lines(ROWS, "model-0003")
    assert "model             model-0003 (champion)" in shown
    assert shown[-2:] == ["figure           model-0003    model-0001", "svg/fad_local             1             2"]
