"""The plan of samples: known before any network runs.

    pytest tests/stages/sample/test_plan.py
"""

from collections import Counter

import pandas as pd

from pipeline.params import SampleParams
from stages.dit import NULL_CLASS
from stages.sample.plan import make_plan, shuffled_windows

WINDOWS = pd.DataFrame([{"clip_id": f"{clip}", "start_frame": start, "class_id": clip % 3} for clip in range(6) for start in (0, 2, 4, 6)])


def sample(num_samples: int = 8) -> SampleParams:
    return SampleParams(tasks=("svg", "a2v", "v2a"), num_samples=num_samples, num_long=2, long_windows=3, sampler="ddim", steps=5,
                        guidance_scale=2.0, guidance_interval=(0.0, 1.0), guidance_rescale=0.0, batch_size=4)


def test_every_task_gets_its_samples_and_classes_come_evenly() -> None:
    plan = make_plan(1, sample(9), 3, WINDOWS)
    assert Counter(p.task for p in plan) == {"svg": 9, "a2v": 9, "v2a": 9, "reconstruction": 9}
    for task in ("svg", "a2v", "v2a", "reconstruction"):
        assert Counter(p.class_id for p in plan if p.task == task) == {0: 3, 1: 3, 2: 3}
    assert plan[0].sample_id == "svg-0000" and len({p.sample_id for p in plan}) == len({p.seed for p in plan}) == 36


def test_conditions_are_held_out_windows_of_as_many_clips_as_there_are() -> None:
    a2v = [p for p in make_plan(1, sample(6), 3, WINDOWS) if p.task == "a2v"]
    assert all(p.class_id == WINDOWS["class_id"][p.window] for p in a2v)
    assert {WINDOWS["clip_id"][p.window] for p in a2v} == set("012345")


def test_few_windows_are_taken_again_with_another_seed_but_reconstructed_once() -> None:
    plan = make_plan(1, sample(8), 3, WINDOWS[:3])
    a2v = [p for p in plan if p.task == "a2v"]
    assert a2v[0].window == a2v[3].window and a2v[0].seed != a2v[3].seed
    assert sorted(p.window for p in plan if p.task == "reconstruction") == [0, 1, 2]


def test_a_sample_keeps_its_seed_and_condition_when_more_are_asked_for() -> None:
    few, many = make_plan(1, sample(4), 3, WINDOWS), make_plan(1, sample(12), 3, WINDOWS)
    by_id = {p.sample_id: p for p in many}
    assert all(by_id[p.sample_id] == p for p in few)
    assert make_plan(2, sample(4), 3, WINDOWS) != few


def test_order_is_a_permutation_by_seed() -> None:
    assert sorted(shuffled_windows(WINDOWS, 1)) == list(range(24))
    assert shuffled_windows(WINDOWS, 1) != shuffled_windows(WINDOWS, 2)


def test_a_network_of_texts_is_asked_for_the_captions_of_held_out_clips() -> None:
    plan = make_plan(1, sample(6), 0, WINDOWS, texts=True)
    svg, a2v = ([p for p in plan if p.task == task] for task in ("svg", "a2v"))
    assert {WINDOWS["clip_id"][p.told] for p in svg} == set("012345") and all(p.window is None for p in svg)
    assert all(p.class_id == WINDOWS["class_id"][p.told] for p in svg)
    assert all(p.told is None for p in a2v)


def test_a_network_without_classes_is_asked_for_none() -> None:
    assert all(p.class_id == NULL_CLASS for p in make_plan(1, sample(), 0, WINDOWS) if p.task == "svg")
