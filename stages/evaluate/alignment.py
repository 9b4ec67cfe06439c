"""What every figure about picture and sound together has in common: the value of true pairs, its interval, and the floor of wrong ones.

A figure of this kind is a share, pooled over clips: hits of how many events, or the sum of the clips' scores over the clips that have
one. It says something only if real clips in their true pairs stand above real clips in wrong ones (below, where lower is better), which
is what `valid` holds.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Literal

import numpy as np

from pipeline.contracts.decoded import float_waveform
from stages.evaluate.bootstrap import ratio_interval
from stages.evaluate.evaluation import Evaluation, Group
from stages.evaluate.figures import Figure, NotComputable, six_digits
from stages.evaluate.shares import Shares, effect_size
from stages.evaluate.shuffled_pairs import strangers
from stages.evaluate.windows import sources

FLOOR_KIND = "picture beside the sound of another source"
Better = Literal["higher", "lower"]
BEYOND = {"higher": "above", "lower": "below"}


def wrong_pairs(evaluation: Evaluation, group: Group) -> np.ndarray:
    """`strangers` of a group: what was made for windows of one source counts as of one source too."""
    return strangers(group.windows.class_ids, sources(group.originals or group.windows), evaluation.seed)


def alignment_figure(evaluation: Evaluation, group: Group, name: str, true: Shares, wrong: Shares, template: Figure, *,
                     bounds: tuple[float, float] = (0.0, 1.0), floor_kind: str = FLOOR_KIND, better: Better = "higher") -> Figure:
    """One figure of true pairs beside the floor of wrong ones.

    Args:
        true: of the group's windows, in their order.
        wrong: of `wrong_pairs`.
        bounds: smallest and largest value that the figure can have.

    Raises:
        NotComputable: no pair has a score.
    """
    figure = share_figure(evaluation, group, name, true, template, bounds=bounds)
    floor = wrong.pooled if wrong.wholes.sum() else None
    notes = (figure.note, _apart(true, wrong, better))
    return _judged(evaluation, replace(figure, floor=floor, floor_kind="" if floor is None else floor_kind, note=_joined(notes)), better)


def share_figure(evaluation: Evaluation, group: Group, name: str, found: Shares, template: Figure, *,
                 bounds: tuple[float, float] = (0.0, 1.0)) -> Figure:
    """A share with its interval; raises as `alignment_figure`."""
    if not found.wholes.sum():
        raise NotComputable(f"needs clips in which something happens, nothing was found in {len(found.wholes)} windows; "
                            "look at them")
    around = ratio_interval(found.parts, found.wholes, sources(group.windows), evaluation.protocol.replicates, evaluation.seed, bounds)
    silent = int((found.wholes == 0).sum())
    left_out = f"{silent} of {len(found.wholes)} windows left out, nothing happens in them" if silent else ""
    return replace(template, note=_joined((template.note, left_out))).with_value(
        name, found.pooled, None, "", len(found.wholes) - silent, 0, around)


def heard_and_seen(group: Group, see: Callable[[np.ndarray], np.ndarray], hear: Callable[[np.ndarray], np.ndarray],
                   ) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What is seen and what is heard in each window, each window read once.

    Args:
        see: takes frames uint8 [F, H, W, 3].
        hear: takes a waveform float32 [S] in [-1, 1].
    """
    seen, heard = [], []
    for window in group.windows:
        seen.append(see(window.frames))
        heard.append(hear(float_waveform(window.waveform)))
    return seen, heard


def _apart(true: Shares, wrong: Shares, better: Better) -> str:
    apart = effect_size(true, wrong) if better == "higher" else effect_size(wrong, true)
    return f"true pairs stand {apart:.2f} standard deviations {BEYOND[better]} wrong ones" if np.isfinite(apart) else ""


def _joined(notes: Iterable[str]) -> str:
    return "; ".join(note for note in notes if note)


def _judged(evaluation: Evaluation, figure: Figure, better: Better) -> Figure:
    """The figure with its verdict: real clips are measured first, and decide for the samples that follow."""
    real = figure if figure.task == "real" else next(
        (found for found in evaluation.figures.found
         if (found.protocol, found.task, found.name) == (figure.protocol, "real", figure.name)), None)
    if real is None:
        return figure  # a figure that real clips alone do not have, such as beat hits
    if real.floor is None or real.low is None or real.high is None:
        why = "not known to be valid here: too few real clips to compare true pairs with wrong ones"
        return replace(figure, valid=False, note=_joined((why, figure.note)))
    low, high, floor = (six_digits(value) for value in (real.low, real.high, real.floor))  # as they are reported
    if (low > floor) if better == "higher" else (high < floor):
        return figure
    why = f"not valid here: real clips in their true pairs are not {BEYOND[better]} real clips in wrong pairs"
    return replace(figure, valid=False, note=_joined((why, figure.note)))
