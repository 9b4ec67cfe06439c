"""Which samples are made: a table known before any network runs, so that order, batches and a restart change nothing."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.params import SampleParams
from pipeline.seeds import derive_seed
from stages.dit import NULL_CLASS
from stages.sample.tasks import OF_PICTURE, OF_SOUND

RECONSTRUCTION = "reconstruction"


@dataclass(frozen=True, slots=True)
class Planned:
    """One sample to make."""

    sample_id: str
    task: str
    """One of `pipeline.params.Task`, or reconstruction."""
    seed: int
    class_id: int
    """The class asked for, or of the window or the caption; NULL_CLASS: none."""
    window: int | None
    """Place among those of the test split of the held-out window that is the condition (or what is continued); None: there is none."""
    told: int | None = None
    """Place, likewise, of the window whose clip's caption is asked for; None: no text."""


def make_plan(seed: int, sample: SampleParams, num_classes: int, windows: pd.DataFrame, *, texts: bool = False) -> list[Planned]:
    """`num_samples` of every task (`num_long` of long), and reconstructions of as many distinct held-out windows (or all).

    Args:
        seed: `seed` of params.yaml; every sample gets its own from it.
        num_classes: classes that tasks without a condition are given in turn; 0: the network knows none.
        windows: held-out windows by place: columns clip_id, class_id; tasks with a condition take them in one shuffled order,
            from the start again (with another seed) when there are fewer than `num_samples`.
        texts: the network reads texts: tasks without a condition are given the captions of those windows, in the same order.
    """
    order = shuffled_windows(windows, derive_seed(seed, "sample", "windows"))
    planned = []
    for task in (*sample.tasks, RECONSTRUCTION):
        count = sample.num_long if task == "long" else sample.num_samples
        for i in range(min(count, len(order)) if task == RECONSTRUCTION else count):
            window = order[i % len(order)] if task in (*OF_SOUND, *OF_PICTURE, RECONSTRUCTION) else None
            told = order[i % len(order)] if texts and window is None else None
            asked = i % num_classes if num_classes else NULL_CLASS
            shown = window if window is not None else told
            class_id = asked if shown is None else int(windows["class_id"].iloc[shown])
            planned.append(Planned(f"{task}-{i:04d}", task, derive_seed(seed, "sample", task, i), class_id, window, told))
    return planned


def shuffled_windows(windows: pd.DataFrame, seed: int) -> list[int]:
    """All places in a seeded order that takes the classes in turn, and every clip once before any clip's second window."""
    order = np.random.default_rng(seed).permutation(len(windows))
    shuffled = windows.iloc[order].assign(place=order)
    shuffled["round"] = shuffled.groupby("clip_id").cumcount()
    shuffled = shuffled.sort_values("round", kind="stable")
    shuffled["turn"] = shuffled.groupby("class_id").cumcount()
    return shuffled.sort_values("turn", kind="stable")["place"].tolist()
