"""Table 2's measurement: both rows of a tiny network, and the search. `pytest tests/stages/efficiency`"""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.params import load_params
from pipeline.training import pick_device
from stages.efficiency.measure import Trial, largest, measure
from stages.efficiency.networks import make_networks

TINY = Path(__file__).parents[2] / "presets" / "tiny.yaml"


@pytest.mark.parametrize("limit", [2, 3, 4, 9, 33, 64, 100])
def test_the_search_finds_the_largest_batch_that_fits(limit: int) -> None:
    tried: list[int] = []
    assert largest(lambda batch: tried.append(batch) or batch <= limit, known=2, most=64) == min(limit, 64)  # type: ignore[func-returns-value]
    assert len(tried) <= 12


def test_both_rows_are_measured_without_any_data() -> None:
    params = load_params(TINY)
    a_long_training = replace(params.dit, train=replace(params.dit.train, steps=1000, warmup_steps=100))
    found = measure(replace(params, dit=a_long_training), batch=2, steps=1, search=True)
    whole, alone = found["rows"]
    assert alone["step_sec"] > 0 and 0 < alone["sample_sec"] < whole["sample_sec"], "end to end has the decoding besides"
    assert whole["train_most"] is None and any("needs a GPU" in line for line in found["says"])


def test_training_end_to_end_moves_the_dit_alone() -> None:
    params = load_params(TINY)
    networks = make_networks(params, pick_device(params.compute))
    trial = Trial(params, networks, whole=True)
    from stages.efficiency.networks import EndToEnd

    module = EndToEnd(networks)
    module(trial._batch(2))["loss"].backward()
    moved = {name.split(".")[0] for name, weight in module.named_parameters() if weight.grad is not None}
    assert moved == {"loss"} and not any(weight.grad is not None for weight in networks.decoder.klvae.parameters())
