"""What the stage reports: figures with their provenance, and what was not computed with the reason."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pipeline.contracts.metrics import write_metrics


class NotComputable(Exception):
    """A figure cannot be given; the message says what is needed and how to get it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One number and all that it depends on: a row of `pipeline.contracts.metrics`, which says what each field is."""

    protocol: str
    task: str
    name: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    floor: float | None = None
    floor_kind: str = ""
    extractor: str = ""
    version: str = ""
    weights: str = ""
    input: str = ""
    reference: str = ""
    num_samples: int = 0
    num_reference: int = 0
    resolution_px: int = 0
    resize: str = ""
    fps: int = 0
    num_frames: int = 0
    valid: bool = True
    note: str = ""
    not_computed: str = ""

    def with_value(self, name: str, value: float, floor: float | None, floor_kind: str, num_samples: int, num_reference: int,
                   interval: tuple[float, float] = (math.nan, math.nan)) -> "Figure":
        """This provenance with a name and numbers.

        Args:
            interval: lower and upper end; nan: none is given.
        """
        low, high = (None if math.isnan(end) else end for end in interval)
        return replace(self, name=name, value=value, low=low, high=high, floor=floor, floor_kind="" if floor is None else floor_kind,
                       num_samples=num_samples, num_reference=num_reference)


@dataclass(slots=True)
class Figures:
    """Collects figures; one that cannot be computed is listed instead of being wrong."""

    found: list[Figure] = field(default_factory=list)
    missing: list[Figure] = field(default_factory=list)

    def add(self, template: Figure, names: Sequence[str], compute: Callable[[], Sequence[Figure]]) -> None:
        """Take the figures `names` from `compute`, or its `NotComputable`, or those that came out without a finite value.

        Args:
            template: protocol, task and provenance of the figures, for those that are listed as absent.
        """
        try:
            figures = compute()
        except NotComputable as reason:
            self.miss(template, names, str(reason))
            return
        for figure in figures:
            if figure.value is not None and math.isfinite(figure.value):
                self.found.append(figure)
            else:
                self.miss(figure, [figure.name], "came out without a finite value; look at the samples")

    def miss(self, template: Figure, names: Sequence[str], reason: str) -> None:
        """List figures as absent: 'needs X; get it by Y'."""
        self.missing += [replace(template, name=name, value=None, low=None, high=None, floor=None, floor_kind="", not_computed=reason)
                         for name in names]


def six_digits(value: float) -> float:
    """Rounded to 6 significant digits and 9 decimals, so that the last bits of a sum in another order do not show."""
    return float(f"{round(value, 9):.6g}") + 0.0  # + 0.0: no "-0.0"


def write_figures(folder: Path, figures: Figures) -> None:
    """Write metrics.parquet and metrics.json; numbers rounded by `six_digits`, none that is not finite."""
    rows = [asdict(figure) for figure in (*figures.found, *figures.missing)]
    for row in rows:
        row.update({name: six_digits(row[name]) if row[name] is not None and math.isfinite(row[name]) else None
                    for name in ("value", "low", "high", "floor")})
    write_metrics(folder, rows)
