"""The section `retrain`: where new data comes from and what a new model has to show; no stage reads it, so nothing is run again for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from pipeline.params_reader import require

DISTANCES = ("fvd", "kvd", "fad", "desync", "memorised", "mkl")
"""Beginnings of figures of which less is better, whatever the extractor."""
NOT_OF_A_TASK = ("reconstruction", "real")
"""Sets of windows that every run measures besides the samples of sample.tasks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GateMetricParams:
    """A figure of data/evaluate/metrics.json, and which way is better."""

    metric: str
    """`<protocol>/<task>/<name>`, such as demo/svg/fvd_local; the protocol may be left out where only one has the figure."""
    better: Literal["lower", "higher"]

    def __post_init__(self) -> None:
        name = self.metric.rsplit("/", 1)[-1]
        require(self.better == "lower" or not name.removeprefix("r").startswith(DISTANCES), "retrain.gate",
                f"{name} with better: higher", "better: lower for it")


@dataclass(frozen=True, kw_only=True, slots=True)
class GateLimitParams:
    """A figure that must not pass a limit, whatever the champion has: a share of memorised samples."""

    metric: str
    limit: float


@dataclass(frozen=True, kw_only=True, slots=True)
class GateParams:
    """What promotes a challenger: every `not_worse` holds, one of `better` is better, no `at_most` is passed."""

    not_worse: tuple[GateMetricParams, ...]
    """Not worse than the champion beyond the champion's confidence interval (where the file gives none: not worse at all)."""
    better: tuple[GateMetricParams, ...]
    """At least one of these is better; one that neither model has is left out. Empty: nothing has to be."""
    min_gain: float
    """By which share of the champion's value it has to be better."""
    at_most: tuple[GateLimitParams, ...]

    def __post_init__(self) -> None:
        require(bool(self.not_worse or self.better), "gate.not_worse", "empty, as is gate.better", "a figure to be compared by")
        require(0 <= self.min_gain < 1, "gate.min_gain", self.min_gain, "0 to less than 1")

    def require_measured(self, protocols: Sequence[str], tasks: Sequence[str]) -> None:
        """Raises:
            ParamsError: a figure is of a protocol or a task that nothing measures.
        """
        measured = (*tasks, *NOT_OF_A_TASK)
        for name in (*(asked.metric for asked in (*self.not_worse, *self.better)), *(limit.metric for limit in self.at_most)):
            *protocol, task, _ = ("", *name.split("/")) if "/" in name else ("", measured[0], name)
            require(protocol[-1] in ("", *protocols), "retrain.gate", name, f"figures of evaluate.protocols ({', '.join(protocols)})")
            require(task in measured, "retrain.gate", name, f"figures of sample.tasks ({', '.join(tasks)})")


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrainParams:
    source: Literal["incoming", "import"]
    """`incoming`: files put into retrain.incoming; `import`: data.raw is a DVC import, which is brought up to date."""
    incoming: str
    """Folder inside the project, <class>/<file> as in data.raw; what was taken from it is removed there."""
    settle_sec: float
    """A file whose size or time changes within so many seconds is still being copied, and waits for the next run."""
    warm_start: bool
    """Trainings begin with the champion's weights."""
    push: bool
    """Send what is decided to the default DVC remote, where there is one: a promoted model whole, of a declined one its new data."""
    gate: GateParams

    def __post_init__(self) -> None:
        path = PurePosixPath(self.incoming)
        require(not path.is_absolute() and ".." not in path.parts and len(path.parts) > 1 and path.parts[0] == "data", "retrain.incoming",
                self.incoming, "a folder in data/, such as data/incoming")
        require(self.settle_sec >= 0, "retrain.settle_sec", self.settle_sec, "0 or more")
