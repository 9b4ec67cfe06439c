"""The page as text: pure functions from tables to HTML. Every text that comes from data goes through `text`."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from stages.report.curves import Curve, curve_figure
from stages.report.glossary import TASKS, meaning
from stages.report.likeness import Likeness, likeness_chart
from stages.report.media import Shown, sheet_name
from stages.report.style import CSS

TASK_ORDER = ("svg", "a2v", "v2a", "i2a", "v", "a", "video_continuation", "audio_continuation", "long", "reconstruction", "real")

SAYS = {
    **dict.fromkeys(("svg", "v", "a", "long"), ("Real, same class", "Generated")),
    "a2v": ("Real, its sound is given", "Generated picture"), "v2a": ("Real, its picture is given", "Generated sound"),
    "i2a": ("Real, its first frame is given", "Generated sound"), "reconstruction": ("Original", "Reconstruction"),
    "video_continuation": ("Real, its picture is given", "Generated, what comes next"),
    "audio_continuation": ("Real, its sound is given", "Generated, what comes next"),
}
"""What stands over the real clip and over the sample of a task."""
HEADLINES = (("svg", "fvd_local", "fvd_local of svg"), ("svg", "fad_local", "fad_local of svg"),
             ("svg", "event_recall", "of seen events heard, svg"), ("reconstruction", "event_recall", "the same, reconstructed"),
             ("reconstruction", "psnr_db", "dB PSNR of reconstructed frames"))
"""Task, figure, and what the tile says."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A real clip beside what was made of it, or beside a sample of its class."""

    real: Shown | None
    sample: Shown


@dataclass(frozen=True, slots=True)
class NearPair:
    """A sample beside the training clip nearest to it."""

    sample: Shown
    learnt: Shown
    says: str
    flagged: bool


@dataclass(frozen=True, slots=True)
class Content:
    """All that the page says."""

    classes: Sequence[tuple[str, int, int]]
    """(class, training clips, held-out clips)."""
    clip_sec: float
    """Length of all clips together, seconds."""
    rejected: Mapping[str, int]
    """Reason -> files."""
    num_samples: int
    pairs: Mapping[str, Sequence[Pair]]
    """By task."""
    metrics: Sequence[Mapping[str, Any]]
    """Rows of metrics.parquet that have a value."""
    missing: Sequence[Mapping[str, Any]]
    """Those that have none."""
    likenesses: Sequence[Likeness]
    """How near samples come to training clips."""
    suspects: Mapping[str, Sequence[NearPair]]
    """By task, the samples that come nearest."""
    curves: Mapping[str, Sequence[Curve]]
    """By what was trained."""
    params: Mapping[str, str]
    """By stage, as text."""


def text(value: object) -> str:
    """`value` safe inside HTML text and attributes."""
    return html.escape(str(value), quote=True)


def page(content: Content) -> str:
    """The whole of index.html."""
    tasks = [task for task in TASK_ORDER if content.pairs.get(task)]
    sections = [("look", "Look and listen", "".join(_task(task, content.pairs[task]) for task in tasks)),
                ("metrics", "Figures", _metrics(content.metrics)),
                ("memory", "Nearest training clips", _memory(content.likenesses, content.suspects)),
                ("absent", "What was not computed", _missing(content.missing)),
                ("data", "The data", _data(content)),
                ("training", "Training", _training(content.curves)),
                ("params", "Settings", _params(content.params))]
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in sections)
    body = "".join(f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>{inner}</section>'
                   for name, title, inner in sections)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Samples and figures</title>
<style>{CSS}</style>
</head>
<body>
<a class="skip" href="#look">To the samples</a>
<header>
<h1>Videos with sound: samples and figures</h1>
<p class="soft">Made by <code>dvc repro</code> with the settings at the end of this page; its files lie in <code>media/</code>.</p>
{_tiles(content)}
<nav aria-label="On this page"><ul>{links}</ul></nav>
</header>
<main>
{body}
</main>
<footer>The same figures for machines: <code>data/evaluate/metrics.json</code> and <code>metrics.parquet</code>.</footer>
</body>
</html>
"""


def number(value: float | None) -> str:
    """A figure for reading: four significant digits; "" for none."""
    return "" if value is None else f"{value:.4g}"


def _tiles(content: Content) -> str:
    """A few headline numbers, those that exist."""
    tiles = [(f"{sum(train + test for _, train, test in content.classes)}", f"clips in {len(content.classes)} classes"),
             (f"{content.num_samples}", "samples generated or reconstructed")]
    by_name = {(row["task"], row["name"]): row for row in content.metrics}
    for task, name, says in HEADLINES:
        if row := by_name.get((task, name)):
            floor = f" (floor {number(row['floor'])})" if number(row["floor"]) else ""
            tiles.append((number(row["value"]), says + floor))
    return '<ul class="tiles">' + "".join(f"<li><b>{text(value)}</b>{text(says)}</li>" for value, says in tiles) + "</ul>"


def _task(task: str, pairs: Sequence[Pair]) -> str:
    title, says = TASKS[task]
    cards = "".join(_pair(task, pair) for pair in pairs)
    sheet = f'<img class="sheet" src="{text(sheet_name(task))}" alt="The generated windows above, a row each: all frames, then the sound">'
    return f'<h3>{text(title)} <span class="soft">({text(task)})</span></h3><p>{text(says)}</p><div class="pairs">{cards}</div>{sheet}'


def _pair(task: str, pair: Pair) -> str:
    real_says, made_says = SAYS[task]
    real = _video(pair.real, real_says) if pair.real else ""
    title = text(pair.sample.class_name or "no class asked for")
    return f'<article class="pair"><h4>{title}</h4>{real}{_video(pair.sample, made_says)}</article>'


def _video(shown: Shown, says: str) -> str:
    name, label = text(shown.name), text(f"{says}, {shown.class_name}, {shown.name}")
    return (f'<figure><figcaption>{text(says)}<small title="{name}">{name}</small></figcaption>'
            f'<video controls loop playsinline preload="metadata" poster="{text(quote(shown.poster))}" src="{text(quote(shown.mp4))}" '
            f'aria-label="{label}"></video>'
            f'<img class="mel" src="{text(quote(shown.mel))}" alt="The sound, time to the right, pitch upwards: {label}"></figure>')


def _metrics(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "<p>No figure could be computed.</p>"
    says = ("<p>Read each value beside its floor. For distances the floor is what real clips get in the samples' place, at the same "
            "counts; for accuracies it is guessing; for events it is each picture beside another clip's sound. "
            "With few samples a distance is large even for perfect ones: that is why the floor has equal counts.</p>")
    columns = [("Figure", False), ("Value", True), ("Floor", True), ("What it says", False), ("Measured on", False)]
    real = {(row["protocol"], row["name"]): row["value"] for row in rows if row["task"] == "real"}
    tables = [_table(f"{TASKS[task][0]}", columns, [_metric_cells(row, real) for row in of_task], f"({task}, protocol {protocol})")
              for protocol in dict.fromkeys(row["protocol"] for row in rows) for task in TASK_ORDER
              if (of_task := [row for row in rows if (row["protocol"], row["task"]) == (protocol, task)])]
    extractors = sorted({(row["extractor"], row["weights"][:12], row["input"]) for row in rows if row["extractor"]})
    inputs = _table("What the extractors see", [("Extractor", False), ("Weights", False), ("Input", False)],
                    [[text(cell) for cell in extractor] for extractor in extractors]) if extractors else ""
    return says + f'<div class="tables">{"".join(tables)}{inputs}</div>'


def _metric_cells(row: Mapping[str, Any], real: Mapping[tuple[str, str], float]) -> list[str]:
    """Args:
        real: by protocol and name, what held-out real clips get by the same measure.
    """
    counts = f"{row['num_samples']} windows"
    if row["num_reference"]:
        counts += f" against {row['num_reference']}: {row['reference']}"
    by = f"<small>extractor {text(row['extractor'])}, weights {text(row['weights'][:12])}</small>" if row["extractor"] else ""
    note = f"<small>{text(row['note'])}</small>" if row["note"] else ""
    floor = f"{number(row['floor'])}<small>{text(row['floor_kind'])}</small>" if number(row["floor"]) else "none"
    beside = real.get((row["protocol"], row["name"])) if row["task"] != "real" else None
    floor += "" if beside is None else f"<small>real clips get {number(beside)}</small>"
    invalid = "" if row["valid"] else _flag("not valid here")
    around = f"<small>{number(row['low'])} to {number(row['high'])}</small>" if number(row["low"]) else ""
    return [text(row["name"]).replace("_", "_<wbr>") + invalid, number(row["value"]) + around, floor, text(meaning(row["name"])),
            text(counts) + by + note]


def _memory(likenesses: Sequence[Likeness], suspects: Mapping[str, Sequence[NearPair]]) -> str:
    """The memorisation audit: how near, and the nearest to judge by eye and ear."""
    if not likenesses:
        return "<p>Not looked at: no protocol of this run has the measure memorisation (evaluate.protocols).</p>"
    says = ("<p>Is a sample a training clip come back? Each mark is a clip: its distance to the nearest training clip over that to the "
            "next ones, near 0 for a copy. Held-out real clips cannot be copies; under the line, where next to none of them lie, a sample "
            "is flagged. Below are the samples that come nearest, flagged or not, each beside its training clip.</p>")
    parts = []
    for task in (task for task in TASK_ORDER if any(likeness.task == task for likeness in likenesses)):
        charts = "".join(likeness_chart(likeness) for likeness in likenesses if likeness.task == task)
        cards = "".join(f'<article class="pair"><h4>{text(pair.says)}{_flag("flagged") if pair.flagged else ""}</h4>'
                        f'{_video(pair.sample, "Generated")}{_video(pair.learnt, "Nearest training clip")}</article>'
                        for pair in suspects.get(task, ()))
        parts.append(f'<h3>{text(TASKS[task][0])} <span class="soft">({text(task)})</span></h3><div class="likenesses">{charts}</div>'
                     f'<div class="pairs">{cards}</div>')
    return says + "".join(parts)


def _flag(says: str) -> str:
    return f' <mark class="flag">{text(says)}</mark>'


def _missing(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "<p>Nothing: every figure that this version knows is above.</p>"
    reasons: dict[str, dict[tuple[str, str], list[str]]] = {}
    for row in rows:
        reasons.setdefault(row["not_computed"], {}).setdefault((row["protocol"], row["name"]), []).append(row["task"])
    return _table("", [("Figures", False), ("Why, and what to do", False)],
                  [[_absent(figures), text(reason)] for reason, figures in reasons.items()])


def _absent(figures: Mapping[tuple[str, str], Sequence[str]]) -> str:
    """Names of absent figures (protocol, name) -> tasks; those of the same tasks together, or the list would be endless."""
    alike: dict[tuple[str, str], list[str]] = {}
    for (protocol, name), tasks in figures.items():
        alike.setdefault((protocol, ", ".join(tasks)), []).append(name)
    lines = (f"{text(', '.join(names)).replace('_', '_<wbr>')}<small>{text(tasks)}; protocol {text(protocol)}</small>"
             for (protocol, tasks), names in alike.items())
    return "".join(f"<div>{line}</div>" for line in lines)


def _data(content: Content) -> str:
    classes = _table("Clips of each class", [("Class", False), ("Training", True), ("Held out", True)],
                     [[text(name), f"{train}", f"{test}"] for name, train, test in content.classes])
    rejected = "<p>No file was left out.</p>"
    if content.rejected:
        rejected = _table("Files left out", [("Reason", False), ("Files", True)],
                          [[text(reason), f"{count}"] for reason, count in content.rejected.items()],
                          "each with its detail in data/inventory/rejected.parquet")
    return f'<p>{content.clip_sec / 60:.1f} minutes of clips.</p><div class="side">{classes}{rejected}</div>'


def _table(caption: str, columns: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]], note: str = "") -> str:
    """A table that scrolls by itself on a narrow screen.

    Args:
        columns: (title, whether it holds numbers).
        rows: cells as HTML; the first one heads its row.
        note: said beside the caption.
    """
    kinds = [' class="number"' if is_number else "" for _, is_number in columns]
    head = "".join(f'<th scope="col"{kind}>{text(title)}</th>' for (title, _), kind in zip(columns, kinds, strict=True))
    cells = [(first, "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(rest, kinds[1:], strict=True))) for first, *rest in rows]
    lines = "".join(f'<tr><th scope="row">{first}</th>{rest}</tr>' for first, rest in cells)
    title = f"<caption>{text(caption)} <span>{text(note)}</span></caption>" if caption else ""
    return (f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption or columns[0][0])}"><table>{title}'
            f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>")


def _training(curves: Mapping[str, Sequence[Curve]]) -> str:
    trained = {name: found for name, found in curves.items() if found}
    if not trained:
        return "<p>Nothing was trained in this run.</p>"
    return "".join(f'<h3>{text(name)}</h3><div class="curves">{"".join(curve_figure(curve) for curve in found)}</div>'
                   for name, found in trained.items())


def _params(params: Mapping[str, str]) -> str:
    return "".join(f"<details><summary>{text(stage)}</summary><pre>{text(values)}</pre></details>" for stage, values in params.items())
