"""dvc.yaml as a graph: pytest tests/pipeline/test_graph.py"""

from pathlib import Path

import pytest

from pipeline.errors import RunError
from pipeline.graph import Graph, load_graph

DIAMOND = """
stages:
  join: {cmd: "true", deps: [data/left/table, data/right], outs: [data/join]}
  left: {cmd: "true", deps: ["${data.raw}", code.py], params: [left], outs: [data/left]}
  right: {cmd: "true", deps: [data/start], outs: [data/right: {persist: true}]}
  start: {cmd: "true", outs: [data/start]}
  apart: {cmd: "true", deps: [data/starting], outs: [data/apart]}
"""


def graph_of(folder: Path, dvc: str, params: str = "data: {raw: data/start/clips}\n") -> Graph:
    (folder / "dvc.yaml").write_text(dvc)
    (folder / "params.yaml").write_text(params)
    return load_graph(folder)


def test_edges_are_overlapping_paths(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, DIAMOND)
    assert graph.upstream["join"] == {"left", "right"}
    assert graph.upstream["left"] == {"start"}, "data.raw lies inside of an output"
    assert graph.upstream["right"] == {"start"}
    assert graph.upstream["apart"] == set(), "data/starting only begins like data/start"
    assert graph.stages["left"].deps == ("data/start/clips", "code.py")


def test_a_users_own_folder_waits_for_no_stage(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, DIAMOND, "data: {raw: ../videos}\n")
    assert graph.upstream["left"] == set()


def test_stages_come_in_an_order_in_which_they_can_run(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, DIAMOND)
    order = list(graph.stages)
    assert all(order.index(before) < order.index(name) for name in order for before in graph.upstream[name])
    assert order == ["start", "left", "right", "join", "apart"], "and otherwise as written"


def test_downstream_is_what_a_change_can_reach(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, DIAMOND)
    assert graph.downstream(["left"]) == ["left", "join"]
    assert graph.downstream(["start"]) == ["start", "left", "right", "join"]
    assert graph.downstream([]) == []


def test_a_circle_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="wait for each other in a circle: a, b"):
        graph_of(tmp_path, "stages:\n  a: {cmd: x, deps: [b], outs: [a]}\n  b: {cmd: x, deps: [a], outs: [b]}\n")


def test_an_unknown_parameter_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"left uses \$\{data.raw\}, which params.yaml does not have"):
        graph_of(tmp_path, DIAMOND, "seed: 7\n")


def test_a_file_without_stages_says_how_to_restore_it(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"git checkout dvc\.yaml"):
        graph_of(tmp_path, "metrics: []\n")


def test_an_unknown_slot_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match='a has meta: slot "tpu", expected one of gpu, cpu'):
        graph_of(tmp_path, "stages:\n  a: {cmd: x, outs: [a], meta: {slot: tpu}}\n")
