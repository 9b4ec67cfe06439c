"""A training's curves while it runs: dvclive, for DVC Studio and for `dvc plots show dvclive/<stage>/plots/metrics`.

They lie beside the run, in no output of a stage: what is kept and compared (`dvc plots diff`, `dvc exp show`) is `curves.csv`.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.processes import rank

if TYPE_CHECKING:
    import dvclive

FOLDER = "dvclive"
_SET_BY_DVC = "DVC_ROOT"
"""In the environment of every stage that DVC starts; elsewhere dvclive would make a DVC repository of whatever git repository it is in."""


class LiveCurves:
    """Of one training, on the first of its processes, where DVC has started it; nothing otherwise."""

    def __init__(self, stage: str, before: Iterable[Mapping[str, float]]) -> None:
        """Args:
            stage: the training's name, a folder of `dvclive/`.
            before: lines up to the checkpoint from which it goes on.
        """
        self._live: dvclive.Live | None = None
        root = os.environ.get(_SET_BY_DVC)
        if root is not None and rank() == 0:
            from dvclive import Live

            self._live = Live(str(Path(root) / FOLDER / stage), save_dvc_exp=False, dvcyaml=None, report=None)
        for line in before:
            self.log(line)

    def log(self, line: Mapping[str, float]) -> None:
        """A line of the log: `step`, and a number by its name."""
        if self._live is not None:
            self._live.step = int(line["step"])
            for name, value in line.items():
                if name != "step":
                    self._live.log_metric(name, value)
            self._live.sync()

    def end(self) -> None:
        """Nothing comes any more; waits until Studio, where there is one, has all."""
        if self._live is not None:
            self._live.end()
