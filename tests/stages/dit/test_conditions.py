"""The condition mix of paper 3.3.

    pytest tests/stages/dit/test_conditions.py
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.params import load_params
from stages.dit import NULL_CLASS
from stages.dit.conditions import Conditions, draw_conditions

COUNT = 20_000


@pytest.fixture(scope="module")
def drawn() -> Conditions:
    torch.manual_seed(0)
    params = replace(load_params(Path(__file__).parents[3] / "params.yaml").dit, a2v_share=0.05, v2a_share=0.15, condition_dropout=0.1)
    return draw_conditions(torch.ones(COUNT, 1, 1, 1), torch.full((COUNT, 1, 1, 1), 2.0), torch.full((COUNT,), 3), params)


def test_shares_are_those_of_params_and_never_both(drawn: Conditions) -> None:
    a2v, v2a = drawn.audio.flatten() == 1, drawn.video.flatten() == 2
    assert a2v.float().mean() == pytest.approx(0.05, abs=0.01)
    assert v2a.float().mean() == pytest.approx(0.15, abs=0.01)
    assert not (a2v & v2a).any()
    assert not drawn.audio[~a2v].any() and not drawn.video[~v2a].any()  # elsewhere the null latents, zeros


def test_a_text_is_withheld_where_the_class_is() -> None:
    torch.manual_seed(0)
    params = replace(load_params(Path(__file__).parents[3] / "params.yaml").dit, a2v_share=0.1, v2a_share=0.1, condition_dropout=0.2)
    latents, class_id, text = torch.ones(200, 1, 1, 1), torch.ones(200, dtype=torch.long), torch.ones(200, 5, 3)
    drawn = draw_conditions(latents, latents, class_id, params, text)
    assert drawn.text is not None
    told = drawn.text.flatten(1).all(dim=1)
    assert torch.equal(told, drawn.class_id != NULL_CLASS) and not drawn.text[~told].any() and 0 < told.sum() < 200


def test_a_condition_latent_takes_the_place_of_the_class(drawn: Conditions) -> None:
    conditioned = (drawn.audio + drawn.video).flatten() > 0
    assert (drawn.class_id[conditioned] == NULL_CLASS).all()
    free = drawn.class_id[~conditioned]
    assert (free == NULL_CLASS).float().mean() == pytest.approx(0.1, abs=0.01)
    assert (free[free != NULL_CLASS] == 3).all()
