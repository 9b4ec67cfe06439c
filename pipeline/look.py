"""`mmldm look`: where the results of the last run are, and its figures."""

import json
from collections.abc import Iterator
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


def metrics_table(metrics: object) -> list[str]:
    """Every figure of a metrics file with its dotted name, in two columns."""
    rows = list(_flat(metrics, ""))
    width = max((len(name) for name, _ in rows), default=0)
    return [f"{name:<{width}}  {value}" for name, value in rows]


def _flat(value: object, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, float):
        yield name, f"{value:.4g}"
    elif isinstance(value, int) and not isinstance(value, bool):
        yield name, str(value)
