"""Every metric gets worse as clips do. `pytest tests/stages/evaluate/test_directions.py`; the table: tests/benchmarks/directions.py"""

import dataclasses
from pathlib import Path

import pytest

from stages.evaluate.shares import effect_size
from stages.evaluate.windows import Window
from tests.benchmarks.directions import (
    DAMAGES,
    DEMO,
    Damage,
    by_damage,
    demo_windows,
    events_of,
    moves_right,
    pairs_of,
    random_networks,
    real_windows,
)

NETWORKS = random_networks()


@pytest.fixture(scope="module")
def real(real_clips: Path) -> list[Window]:
    return real_windows(real_clips, most=16)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> list[Window]:
    return demo_windows(tmp_path_factory.mktemp("demo"), dataclasses.replace(DEMO, clips_per_kind=6))


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_more_damage_is_a_worse_figure_at_every_step(real: list[Window], damage: Damage) -> None:
    for name, values in by_damage(real, damage, NETWORKS[damage.modality]).items():
        assert moves_right(name, values), (name, values)


@pytest.mark.parametrize(("measure", "least"), [(events_of, 0.8), (pairs_of, 0.4)])
def test_true_pairs_stand_above_wrong_ones_and_late_sound_falls_among_them(  # type: ignore[no-untyped-def]
        demo: list[Window], measure, least: float) -> None:
    """AV-Align sees motion alone and no events: over 48 clips of the demo its effect is 0.76, that of the events 1.88."""
    true, wrong = measure(demo)
    late, _ = measure(demo, 0.3)
    assert effect_size(true, wrong) > least
    assert late.pooled < true.pooled
