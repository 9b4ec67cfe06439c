"""The gate: whether a challenger becomes champion, from the two models' figures alone."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.errors import DataError
from pipeline.params import GateMetricParams, GateParams

Metrics = Mapping[str, float]
"""Of data/evaluate/metrics.json: "<protocol>/<task>/<name>" -> value, and the ends of its interval as `_low` and `_high`."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gate says."""

    promoted: bool
    reason: str
    """One line, with both values of every figure that decided."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure of one model, with its interval where it has one."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g}" + (f" [{self.low:.4g}, {self.high:.4g}]" if self.low < self.high else "")


def judge(champion: Metrics, challenger: Metrics, gate: GateParams) -> Judgement:
    """Compare two models that were measured in the same way.

    Args:
        champion, challenger: figures by name.
        gate: `retrain.gate`.

    Returns:
        Promoted only when all of the gate holds; a figure that is not there holds nothing.

    Raises:
        DataError: a name of the gate fits several figures.
    """
    against: list[str] = []
    kept: list[str] = []
    for limit in gate.at_most:
        found = find(challenger, limit.metric)
        if found is None:
            against.append(f"{limit.metric} was not measured")
        elif not found.value <= limit.limit:
            against.append(f"{limit.metric} {found.value:.4g} is above {limit.limit:g}")
    for asked in gate.not_worse:
        ours, theirs = find(challenger, asked.metric), find(champion, asked.metric)
        if ours is None or theirs is None:
            who = "the challenger" if ours is None else "the champion"
            against.append(f"{asked.metric} was not measured of {who}")
        elif worse_beyond_interval(theirs, ours, asked):
            against.append(f"{asked.metric} is worse: {ours} against {theirs}")
        else:
            kept.append(f"{asked.metric} {ours} against {theirs}")
    pairs = [(asked, find(challenger, asked.metric), find(champion, asked.metric)) for asked in gate.better]
    gains = [f"{asked.metric} is better: {ours} against {theirs}" for asked, ours, theirs in pairs
             if ours is not None and theirs is not None and gain(theirs, ours, asked) > gate.min_gain]
    if gate.better and not gains:
        shown = [f"{asked.metric} {ours or 'not measured'} against {theirs or 'not measured'}" for asked, ours, theirs in pairs]
        by = f" by more than {gate.min_gain:.0%}" if gate.min_gain else ""
        against.append(f"nothing is better{by}: {', '.join(shown)}")
    return Judgement(not against, "; ".join(against or [*gains, *kept]))


def find(metrics: Metrics, name: str) -> Measured | None:
    """The figure of a name, which may leave out the first part of its key (the protocol); None: it is not there.

    Raises:
        DataError: several keys end so.
    """
    keys = [name] if name in metrics else sorted(key for key in metrics if key.endswith(f"/{name}"))
    if len(keys) > 1:
        raise DataError(f"params.yaml: retrain.gate names {name}, which fits {' and '.join(keys)}; write one of these")
    if not keys or not math.isfinite(metrics[keys[0]]):
        return None
    value = metrics[keys[0]]
    return Measured(value, metrics.get(f"{keys[0]}_low", value), metrics.get(f"{keys[0]}_high", value))


def worse_beyond_interval(champion: Measured, challenger: Measured, asked: GateMetricParams) -> bool:
    """Whether the challenger's value lies on the bad side of the champion's whole interval."""
    return challenger.value > champion.high if asked.better == "lower" else challenger.value < champion.low


def gain(champion: Measured, challenger: Measured, asked: GateMetricParams) -> float:
    """By which share of the champion's value the challenger is better; negative when it is worse."""
    difference = champion.value - challenger.value if asked.better == "lower" else challenger.value - champion.value
    if difference == 0:
        return 0.0
    return difference / abs(champion.value) if champion.value else math.copysign(math.inf, difference)


def flat(values: object, prefix: str = "") -> dict[str, float]:
    """The numbers of a metrics.json by key, whether it is flat or a tree ("svg": {"fvd_local": 2.6} -> "svg/fvd_local")."""
    if not isinstance(values, Mapping):
        return {prefix: float(values)} if isinstance(values, (int, float)) and not isinstance(values, bool) else {}
    found: dict[str, float] = {}
    for name, inner in values.items():
        found |= flat(inner, f"{prefix}/{name}" if prefix else name)
    return found
