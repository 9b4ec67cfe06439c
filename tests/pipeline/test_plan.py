"""What a run is to do: pytest tests/pipeline/test_plan.py"""

from pathlib import Path

import pytest

from pipeline import plan
from pipeline.errors import RunError
from pipeline.graph import Graph, load_graph
from pipeline.plan import Selection, make_plan, select

DIAMOND = """
stages:
  start: {cmd: x, outs: [data/start]}
  left: {cmd: x, deps: [data/start], params: [left], outs: [data/left]}
  right: {cmd: x, deps: [data/start], outs: [data/right]}
  join: {cmd: x, deps: [data/left, data/right], outs: [data/join]}
"""
LOCK = "schema: '2.0'\nstages:\n  start:\n    cmd: x\n  left:\n    cmd: x\n  right:\n    cmd: x\n  join:\n    cmd: x\n"
CHANGED = {"left": [{"changed deps": {"params.yaml": {"left.depth": "modified"}, "stages/left": "modified"}}, "changed command"]}


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    """Of a project in which everything has been made."""
    (tmp_path / "dvc.yaml").write_text(DIAMOND)
    (tmp_path / "params.yaml").write_text("{}")
    for name in ("start", "left", "right", "join"):
        (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "dvc.lock").write_text(LOCK)
    return load_graph(tmp_path)


def planned(tmp_path: Path, graph: Graph, monkeypatch: pytest.MonkeyPatch, changes: dict, selection: Selection) -> plan.Plan:
    monkeypatch.setattr(plan, "dvc_status", lambda root: changes)
    return make_plan(tmp_path, graph, selection)


def test_a_change_runs_its_stage_and_those_after_it_and_each_says_why(tmp_path, graph, monkeypatch) -> None:
    made = planned(tmp_path, graph, monkeypatch, CHANGED, Selection())
    assert (made.run, made.fresh) == (("left", "join"), ("start", "right"))
    assert made.reasons == {"left": "left.depth modified, stages/left modified, changed command", "join": "after left"}


def test_from_and_to_are_parts_of_the_graph(graph) -> None:
    assert select(graph, Selection()) == ["start", "left", "right", "join"]
    assert select(graph, Selection(to="left")) == ["start", "left"]
    assert select(graph, Selection(start="right")) == ["right", "join"]
    assert select(graph, Selection(to="join", start="left")) == ["left", "join"]


def test_what_lies_before_the_part_stays_as_it_is_and_is_named(tmp_path, graph, monkeypatch) -> None:
    made = planned(tmp_path, graph, monkeypatch, CHANGED, Selection(start="join"))
    assert (made.run, made.fresh, made.left) == ((), ("join",), ("left",))


def test_a_forced_stage_runs_with_all_after_it(tmp_path, graph, monkeypatch) -> None:
    made = planned(tmp_path, graph, monkeypatch, {}, Selection(force=("right",)))
    assert (made.run, made.force) == (("right", "join"), {"right"})
    assert made.reasons == {"right": "forced", "join": "after right"}


@pytest.mark.parametrize(("selection", "said"), [
    (Selection(to="lefd"), '--to: there is no stage "lefd"; did you mean "left"?'),
    (Selection(start="dit"), '--from: there is no stage "dit"; there are: start, left, right, join'),
    (Selection(to="start", start="join"), "nothing lies between --from join and --to start: start comes earlier; swap them"),
    (Selection(to="left", force=("join",)), r"--force join is not in the part that was asked for \(start, left\); widen"),
])
def test_what_cannot_be_asked_for(graph, selection: Selection, said: str) -> None:
    with pytest.raises(RunError, match=said):
        select(graph, selection)


def test_a_part_that_begins_where_nothing_is(tmp_path, graph, monkeypatch) -> None:
    (tmp_path / "data/left").rmdir()
    with pytest.raises(RunError, match="join needs data/left, which left has not made yet; begin there: mmldm reproduce --from left"):
        planned(tmp_path, graph, monkeypatch, {}, Selection(force=("join",), start="join"))


def test_a_part_that_begins_where_a_stage_has_failed_half_way(tmp_path, graph, monkeypatch) -> None:
    (tmp_path / "dvc.lock").write_text(LOCK.replace("  right:\n    cmd: x\n", ""))
    with pytest.raises(RunError, match="join needs data/right, which right has not made yet"):
        planned(tmp_path, graph, monkeypatch, {}, Selection(force=("join",), start="join"))


def test_the_command_that_asks_for_a_part() -> None:
    assert Selection("dit", "encode", ("sample", "dit")).command() == "mmldm reproduce --to dit --from encode --force sample --force dit"
    assert Selection().command() == "mmldm reproduce"
