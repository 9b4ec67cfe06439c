"""Memorisation on the page: how near samples come to training clips beside how near real ones do, and which samples to look at."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

WIDTH, ROW, PAD = 480, 34, 6
HELD_OUT = "real"
MOST_MARKS = 400


@dataclass(frozen=True, slots=True)
class Likeness:
    """Ratios of one task's samples in one space (stages/evaluate/memorisation.py), and what they are held against."""

    task: str
    protocol: str
    space: str
    limit: float
    samples: Sequence[float]
    held_out: Sequence[float]
    flagged: int


@dataclass(frozen=True, slots=True)
class Suspect:
    """A sample and the training window nearest to it."""

    sample_id: str
    clip_id: str
    start_frame: int
    says: str
    """In what it is near, and how near."""
    flagged: bool


def likenesses(neighbours: pd.DataFrame) -> list[Likeness]:
    """One for each protocol, task and space, in the table's order.

    Args:
        neighbours: pipeline.contracts.neighbours.
    """
    found = []
    real = neighbours[neighbours["task"] == HELD_OUT]
    for (protocol, task, space), rows in neighbours[neighbours["task"] != HELD_OUT].groupby(["protocol", "task", "space"], sort=False):
        held_out = real[(real["protocol"] == protocol) & (real["space"] == space)]["ratio"].tolist()
        found.append(Likeness(str(task), str(protocol), str(space), float(rows["limit"].iloc[0]), rows["ratio"].tolist(), held_out,
                              int(rows["flagged"].sum())))
    return found


def suspects(neighbours: pd.DataFrame, task: str, count: int) -> list[Suspect]:
    """The samples of a task that lie nearest to a training clip for the limit of their space, each once, nearest first."""
    rows = neighbours[neighbours["task"] == task].copy()
    rows["nearness"] = rows["ratio"] / rows["limit"].clip(lower=1e-9)
    rows = rows.sort_values(["nearness", "name"], kind="stable").drop_duplicates("name").head(count)
    made = []
    for row in rows.itertuples():
        clip_id, start = str(row.nearest).rsplit("-", 1)
        made.append(Suspect(str(row.name), clip_id, int(start), f"{row.space}: ratio {row.ratio:.3g}, flagged under {row.limit:.3g}",
                            bool(row.flagged)))
    return made


def likeness_chart(likeness: Likeness) -> str:
    """Two rows of marks on one axis, held-out clips above and samples below, and the limit as a line; from a copy (0) to the right."""
    most = max([1.0, *likeness.samples, *likeness.held_out])

    def x(value: float) -> float:
        return PAD + (WIDTH - 2 * PAD) * min(value, most) / most

    def marks(values: Sequence[float], top: float, kind: str) -> str:
        step = max(1, math.ceil(len(values) / MOST_MARKS))
        lines = "".join(f"M{x(value):.1f} {top:.0f}v{ROW - 8}" for value in sorted(values)[::step])
        return f'<path class="{kind}" d="{lines}"/>' if lines else ""

    limit = x(likeness.limit)
    says = (f"{likeness.task} in {likeness.space}: {likeness.flagged} of {len(likeness.samples)} samples under the limit of "
            f"{likeness.limit:.3g}; {len(likeness.held_out)} held-out windows above for comparison")
    body = (marks(likeness.held_out, 4, "held-out") + marks(likeness.samples, ROW + 4, "samples")
            + f'<path class="limit" d="M{limit:.1f} 0v{2 * ROW}"/>')
    title = html.escape(likeness.space).replace("_", "_<wbr>")
    counts = f"{likeness.flagged} of {len(likeness.samples)} flagged"
    return (f'<figure class="curve"><figcaption><span>{title}</span> <b>{counts}</b></figcaption>'
            f'<svg viewBox="0 0 {WIDTH} {2 * ROW}" role="img" aria-label="{html.escape(says, quote=True)}">{body}</svg>'
            f'<p class="axis"><span>0, a copy</span><span>above: held-out clips, below: samples</span><span>{most:.2g}</span></p></figure>')
