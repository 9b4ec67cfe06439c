"""Training curves as inline SVG: small multiples, one for each logged number."""

import csv
import html
import math
from dataclasses import dataclass
from pathlib import Path

WIDTH, HEIGHT, PAD = 240, 110, 6
MOST_POINTS = 240
HIDDEN = ("lr",)


@dataclass(frozen=True, slots=True)
class Curve:
    """One column of a curves.csv."""

    name: str
    points: list[tuple[float, float]]
    """(step, value), finite ones only, by step."""


def read_curves(path: Path) -> list[Curve]:
    """The columns of a curves.csv (empty list when the stage trained nothing), gradients' norms left out."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in (rows[0] if rows else {}) if name != "step" and name not in HIDDEN and not name.endswith("grad_norm")]
    curves = []
    for name in columns:
        points = [(float(row["step"]), float(row[name])) for row in rows if row[name]]
        curves.append(Curve(name, [point for point in points if math.isfinite(point[1])]))
    return [curve for curve in curves if curve.points]


def curve_figure(curve: Curve) -> str:
    """One small chart: name, last value, the line, and the range on both axes."""
    step = max(1, math.ceil(len(curve.points) / MOST_POINTS))
    points = curve.points[::step] + ([curve.points[-1]] if (len(curve.points) - 1) % step else [])
    values = [value for _, value in points]
    low, high = min(values), max(values)
    first, last = points[0][0], points[-1][0]
    across, upwards = (WIDTH - 2 * PAD) / ((last - first) or 1), (HEIGHT - 2 * PAD) / ((high - low) or 1)
    place = [(PAD + (x - first) * across, HEIGHT - PAD - (y - low) * upwards) for x, y in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in place)
    name = html.escape(curve.name)
    says = f"{name}: from {values[0]:.4g} at step {first:.0f} to {values[-1]:.4g} at step {last:.0f}"
    dot = f'<circle cx="{place[-1][0]:.1f}" cy="{place[-1][1]:.1f}" r="2.5"/>'
    title = name.replace("/", "/<wbr>").replace("_", "_<wbr>")
    return (f'<figure class="curve"><figcaption><span>{title}</span> <b>{values[-1]:.4g}</b></figcaption>'
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{says}"><polyline points="{line}"/>{dot}</svg>'
            f'<p class="axis"><span>{low:.3g} to {high:.3g}</span><span>step {first:.0f} to {last:.0f}</span></p></figure>')
