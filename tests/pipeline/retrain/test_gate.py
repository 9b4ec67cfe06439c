"""Who becomes champion: pytest tests/pipeline/retrain/test_gate.py"""

import pytest

from pipeline.errors import DataError
from pipeline.params import GateLimitParams, GateMetricParams, GateParams
from pipeline.retrain.gate import flat, judge

FVD, FAD, RECALL = "demo/svg/fvd_local", "demo/svg/fad_local", "demo/svg/event_recall"
CHAMPION = {FVD: 10.0, f"{FVD}_low": 9.0, f"{FVD}_high": 12.0, FAD: 100.0, RECALL: 0.9, "demo/svg/copied": 0.0}


def gate(**changed: object) -> GateParams:
    fvd, fad, recall = (GateMetricParams(metric=f"svg/{name}", better=better) for name, better in (
        ("fvd_local", "lower"), ("fad_local", "lower"), ("event_recall", "higher")))
    fields = {"not_worse": (fvd,), "better": (fad, recall),
              "min_gain": 0.0, "at_most": (GateLimitParams(metric="svg/copied", limit=0.0),)}
    return GateParams(**(fields | changed))


@pytest.mark.parametrize(("challenger", "promoted", "words"), [
    ({FAD: 90.0}, True, "svg/fad_local is better: 90 against 100; svg/fvd_local 10 [9, 12] against 10 [9, 12]"),
    ({FAD: 110.0, RECALL: 0.95}, True, "svg/event_recall is better: 0.95 against 0.9"),
    ({FAD: 90.0, FVD: 11.9}, True, "svg/fvd_local 11.9"),  # worse, but within the champion's interval
    ({FAD: 90.0, FVD: 12.1, f"{FVD}_high": 14.0}, False, "svg/fvd_local is worse: 12.1 [9, 14] against 10 [9, 12]"),
    ({}, False, "nothing is better: svg/fad_local 100 against 100, svg/event_recall 0.9 against 0.9"),
    ({FAD: 90.0, "demo/svg/copied": 0.1}, False, "svg/copied 0.1 is above 0"),
    ({FAD: 90.0, "demo/svg/copied": float("nan")}, False, "svg/copied was not measured"),
    ({FAD: 90.0, FVD: float("inf")}, False, "svg/fvd_local was not measured of the challenger"),
])
def test_the_gate(challenger: dict[str, float], promoted: bool, words: str) -> None:
    judgement = judge(CHAMPION, CHAMPION | challenger, gate())
    assert judgement.promoted is promoted
    assert words in judgement.reason


def test_a_figure_that_only_one_model_has_decides_nothing_for_it() -> None:
    without = {key: value for key, value in CHAMPION.items() if key != RECALL}
    assert not judge(without, CHAMPION | {RECALL: 1.0}, gate()).promoted
    assert not judge({**without, FVD: float("nan")}, CHAMPION | {FAD: 1.0}, gate()).promoted


def test_a_gain_has_to_be_as_large_as_asked() -> None:
    assert not judge(CHAMPION, CHAMPION | {FAD: 96.0}, gate(min_gain=0.05)).promoted
    assert judge(CHAMPION, CHAMPION | {FAD: 94.0}, gate(min_gain=0.05)).promoted


def test_a_name_that_fits_two_protocols_is_refused() -> None:
    with pytest.raises(DataError, match=r"svg/fvd_local, which fits demo/svg/fvd_local and paper/svg/fvd_local; write one of these"):
        judge(CHAMPION | {"paper/svg/fvd_local": 1.0}, CHAMPION, gate())


def test_metrics_may_be_a_tree_or_flat() -> None:
    assert flat({"svg": {"fvd_local": 1, "note": "text"}, "demo/a2v/fad": 2.5}) == {"svg/fvd_local": 1.0, "demo/a2v/fad": 2.5}
