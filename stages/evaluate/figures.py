"""What the stage reports: figures with their provenance, and what was not computed with the reason."""

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

from pipeline.contracts.outputs import write_text


class NotComputable(Exception):
    """A figure cannot be given; the message says what is needed and how to get it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One number and all that it depends on."""

    name: str
    """With the extractor at its end: fvd_local, fad_local, fvd_i3d."""
    task: str
    """svg, a2v, v2a, reconstruction, or real (held-out clips measured in the same way)."""
    value: float
    floor: float | None = None
    """What to read the value against; `floor_kind` says what it is."""
    floor_kind: str = ""
    extractor: str = ""
    weights: str = ""
    """Beginning of the sha256 of the extractor's weights."""
    input: str = ""
    """The way of the picture or the sound into the extractor."""
    reference: str = ""
    """What the samples were compared with."""
    num_samples: int = 0
    num_reference: int = 0
    resolution_px: int = 0
    """Side of the compared frames before the extractor; 0 for sound."""
    fps: int = 0
    num_frames: int = 0

    def with_value(self, name: str, value: float, floor: float | None, floor_kind: str, num_samples: int, num_reference: int) -> "Figure":
        """This provenance with a name and a number."""
        return replace(self, name=name, value=value, floor=floor, floor_kind="" if floor is None else floor_kind, num_samples=num_samples,
                       num_reference=num_reference)


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """A figure that is absent, and why."""

    name: str
    task: str
    reason: str
    """'needs X; get it by Y'."""


@dataclass(slots=True)
class Figures:
    """Collects figures; one that cannot be computed is listed instead of being wrong."""

    found: list[Figure] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)

    def add(self, task: str, names: Sequence[str], compute: Callable[[], Sequence[Figure]]) -> None:
        """Take the figures `names` from `compute`, or its `NotComputable`, or those that came out without a finite value."""
        try:
            figures = compute()
        except NotComputable as reason:
            self.miss(task, names, str(reason))
            return
        for figure in figures:
            if math.isfinite(figure.value):
                self.found.append(figure)
            else:
                self.miss(task, [figure.name], "came out without a finite value; look at the samples on the report page")

    def miss(self, task: str, names: Sequence[str], reason: str) -> None:
        """List figures as absent."""
        self.missing += [Missing(name=name, task=task, reason=reason) for name in names]


def six_digits(value: float) -> float:
    """Rounded to 6 significant digits and 9 decimals, so that the last bits of a sum in another order do not show."""
    return float(f"{round(value, 9):.6g}") + 0.0  # + 0.0: no "-0.0"


def metrics_values(figures: Sequence[Figure]) -> dict[str, dict[str, float]]:
    """metrics.json: task -> name -> value, each floor as `<name>_floor`."""
    tree: dict[str, dict[str, float]] = {}
    for figure in figures:
        branch = tree.setdefault(figure.task, {})
        branch[figure.name] = six_digits(figure.value)
        if figure.floor is not None and math.isfinite(figure.floor):
            branch[f"{figure.name}_floor"] = six_digits(figure.floor)
    return tree


def write_figures(folder: Path, figures: Figures) -> None:
    """Write metrics.json (for `dvc metrics`), metrics.csv (one row a figure, with provenance) and not_computed.json."""
    write_text(folder / "metrics.json", json.dumps(metrics_values(figures.found), indent=1, sort_keys=True) + "\n")
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Figure)], lineterminator="\n")
    writer.writeheader()
    for figure in figures.found:
        row = asdict(figure)
        row["value"] = six_digits(figure.value)
        row["floor"] = "" if figure.floor is None else six_digits(figure.floor)
        writer.writerow(row)
    write_text(folder / "metrics.csv", text.getvalue())
    write_text(folder / "not_computed.json", json.dumps([asdict(m) for m in figures.missing], indent=1, ensure_ascii=False) + "\n")
