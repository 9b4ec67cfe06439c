"""`mmldm look`: where the results of the last run are, and its figures."""

import json
from collections.abc import Mapping
from pathlib import Path

MAX_VIDEOS = 3


def where_to_look(root: Path) -> list[str]:
    """The report page, up to three videos with sound and the table of metrics, a line each; what is not there yet is left out."""
    lines = []
    page = root / "data/report/index.html"
    if page.is_file():
        lines.append(f"report    {page.resolve()}")
    lines += [f"video     {path.resolve()}" for path in example_videos(root / "data/sample/mp4")]
    metrics = root / "data/evaluate/metrics.json"
    if metrics.is_file():
        lines += ["", *metrics_table(json.loads(metrics.read_text(encoding="utf-8")))]
    return lines or ["nothing to look at yet; run: make repro"]


def example_videos(folder: Path) -> list[Path]:
    """The first video of each task (file names are `<task>-<number>.mp4`), joint generation before the conditional tasks."""
    first: dict[str, Path] = {}
    for path in sorted(folder.glob("*.mp4")):
        first.setdefault(path.stem.rsplit("-", 1)[0], path)
    tasks = sorted(first, key=lambda task: ({"svg": 0, "a2v": 1, "v2a": 2}.get(task, 3), task))
    return [first[task] for task in tasks[:MAX_VIDEOS]]


def metrics_table(metrics: Mapping[str, float]) -> list[str]:
    """The rows of `metrics_rows`, a line each."""
    rows = metrics_rows(metrics)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) if column < 3 else cell.rjust(width)
                      for column, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip() for row in rows]


def metrics_rows(metrics: Mapping[str, float]) -> list[tuple[str, ...]]:
    """The figures of `data/evaluate/metrics.json` below a header: protocol, task, name, value, interval and floor where they are."""
    rows: list[tuple[str, ...]] = [("protocol", "task", "figure", "value", "95% interval", "floor")]
    for key, value in metrics.items():
        name = key.rsplit("/", 1)[-1]
        if not name.endswith(("_floor", "_low", "_high")):
            low, high, floor = (metrics.get(f"{key}_{number}") for number in ("low", "high", "floor"))
            protocol, task = key.split("/")[:2]
            rows.append((protocol, task, name, f"{value:.4g}", "" if low is None or high is None else f"{low:.4g} to {high:.4g}",
                         "" if floor is None else f"{floor:.4g}"))
    return rows
