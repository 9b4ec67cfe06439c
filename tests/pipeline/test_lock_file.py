"""The order of dvc.lock's entries: pytest tests/pipeline/test_lock_file.py"""

from pathlib import Path

import yaml

from pipeline.lock_file import order_entries

ENTRY = "  {name}:\n    cmd: run {name}\n    outs:\n    - path: data/{name}\n      md5: 1\n"


def test_entries_come_in_the_order_of_the_graph_and_nothing_else_changes(tmp_path: Path) -> None:
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    head = "schema: '2.0'\nstages:\n"
    lock = tmp_path / "dvc.lock"
    lock.write_text(head + "".join(ENTRY.format(name=name) for name in ("right", "gone", "start", "left")))
    order_entries(tmp_path, ["start", "left", "right", "join"])
    assert lock.read_text() == head + "".join(ENTRY.format(name=name) for name in ("start", "left", "right", "gone"))
    assert list(yaml.safe_load(lock.read_text())["stages"]) == ["start", "left", "right", "gone"]


def test_no_file_is_none_afterwards(tmp_path: Path) -> None:
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    order_entries(tmp_path, ["start"])
    assert not (tmp_path / "dvc.lock").exists()
