"""`mmldm table N`: a table of the paper with this run's figures beside the printed ones, from what was measured already.

The printed figures are data (published.yaml). Of this run the table shows the first of SOURCES that has a figure: those measured as the
papers' are, as far as that is known, or else those of the local extractors under their own names. What is not there is said below the
table, with the command that gets it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.contracts.metrics import metrics_rows
from pipeline.contracts.outputs import read_success
from pipeline.experiments import experiment_metrics
from pipeline.params import read_yaml

PUBLISHED = Path(__file__).parent / "published.yaml"
NUMBERS = (1, 2, 4, 5, 6)
Cell = str | float | int | None
THIS_RUN = "this run"


@dataclass(frozen=True, slots=True)
class Table:
    """A printed table."""

    title: str
    heads: Sequence[str]
    columns: Sequence[str]
    sections: Mapping[str, Sequence[Sequence[Cell]]]
    """Title -> rows of heads, then columns."""


@dataclass(frozen=True, slots=True)
class Source:
    """By what this run's figures were measured."""

    says: str
    protocols: Mapping[int, str]
    """px -> name; 0: whatever the run's frames are."""
    video: str
    audio: str
    """Extractors."""

    @property
    def largest(self) -> int:
        """px of the larger frames."""
        return max(self.protocols)

    def figure(self, px: int, task: str, metric: str, *, beginning: str = "", ending: str = "") -> tuple[str, str, str]:
        """(protocol, task, name) of "fvd", "kvd" or "fad"; sound has no size, and is measured with the larger frames."""
        protocol = self.protocols[self.largest if metric == "fad" else px]
        return protocol, task, f"{beginning}{metric}_{self.audio if metric == 'fad' else self.video}{ending}"


SOURCES = (
    Source("as the paper's are thought to be: I3D of TATS, AudioCLIP as MM-Diffusion", {64: "mm-ldm-64", 256: "mm-ldm-256"},
           "i3d_tats", "audioclip_mmdiffusion"),
    Source("I3D as StyleGAN-V, VGGish", {64: "mm-ldm-64", 256: "mm-ldm-256"}, "i3d_styleganv", "vggish"),
    Source("the local extractors of this data set: they compare runs on it with each other, NOT with the paper's rows", {0: "demo"},
           "local", "local"),
)
TASKS = {"Single-modal video generation": ("v",), "Single-modal audio generation": ("a",), "Multi-modal generation": ("a2v", "v2a", "svg")}
"""Of each section of table 1."""
SEES = {"v": "fvd kvd", "a2v": "fvd kvd", "a": "fad", "v2a": "fad", "svg": "fvd kvd fad"}


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of this run by (protocol, task, name): rows of data/evaluate/metrics.parquet."""

    rows: Mapping[tuple[str, str, str], Mapping[str, Any]]

    def value(self, protocol: str, task: str, name: str, number: str = "value") -> float | None:
        """A number of a figure, None when it is not there."""
        found = self.rows.get((protocol, task, name))
        return None if found is None else found[number]

    def care(self, figures: Iterable[tuple[str, str, str]]) -> list[str]:
        """What limits figures that are there (too few samples, a covariance without full rank, no validity), a line for each reason."""
        names: dict[str, list[str]] = {}
        for figure in figures:
            row = self.rows.get(figure)
            for note in str(row["note"]).split("; ") if row is not None and row["value"] is not None else ():
                names.setdefault(note, []).append("/".join(figure))
        return [f"read with care: {', '.join(dict.fromkeys(those))}: {note}" for note, those in names.items() if note]

    def missing(self, protocol: str, task: str, name: str) -> str:
        """Why a figure is not there, and the way to it."""
        found = self.rows.get((protocol, task, name))
        if found is not None:
            return str(found["not_computed"])
        if not any(key[0] == protocol for key in self.rows):
            return f"protocol {protocol} was not asked for; add it to evaluate.protocols in params.yaml, then: mmldm reproduce"
        whole = self.rows.get((protocol, "all", "every figure"))
        if whole is not None:
            return str(whole["not_computed"])
        if not any(key[:2] == (protocol, task) for key in self.rows):
            return f"data/sample has no samples of task {task}; add it to sample.tasks in params.yaml, then: mmldm reproduce"
        return f"protocol {protocol} has no such extractor; name it in stages/evaluate/protocols/{protocol}.yaml, then: mmldm reproduce"


def load_table(number: int) -> Table:
    """A printed table."""
    values = read_yaml(PUBLISHED)
    assert isinstance(values, dict)
    return Table(**values[f"table_{number}"])


def table_lines(number: int, root: Path) -> list[str]:
    """The lines of table 1, 4, 5 or 6.

    Raises:
        DataError: the evaluate stage has not finished.
    """
    measured = Measured({(row["protocol"], row["task"], row["name"]): row for row in metrics_rows(root / "data/evaluate")})
    return {1: results, 4: scaling, 5: ablation, 6: ablation}[number](load_table(number), measured, root)


def results(table: Table, measured: Measured, root: Path) -> list[str]:
    """Table 1, with three columns more for this run's data."""
    names = _names(SEES["svg"])
    source = _source(measured, [(task, name) for task, sees in SEES.items() for name in _names(sees)])
    settings = _params(root, "sample").get("sample", {})
    sampler = f"{settings.get('sampler', '')} {settings.get('steps', '')}".strip()
    sections: dict[str, list[list[Cell]]] = {}
    why, shown_figures = _Reasons(), list[tuple[str, str, str]]()
    for title, rows in table.sections.items():
        own: list[list[Cell]] = []
        for px in source.protocols:
            shown = px or _px(measured, source.protocols[px])
            if title == "Ground truth":
                floors = [measured.value(*source.figure(px, "svg", name), "floor") for name in names]
                own.append([f"{THIS_RUN}, held-out clips", shown, None, *[None] * 6, *floors])
                continue
            for task in TASKS[title]:
                sees = _names(SEES[task])
                if sees == ["fad"] and px != source.largest:
                    continue  # a sound has no size
                for ending, says in (("", ""), ("_to_train", ", to training clips")):
                    figures = {name: source.figure(px, task, name, ending=ending) for name in sees}
                    values = {name: measured.value(*figure) for name, figure in figures.items()}
                    if ending and not any(value is not None for value in values.values()):
                        continue
                    why.add(measured, [figure for name, figure in figures.items() if values[name] is None])
                    shown_figures += figures.values()
                    own.append([f"{THIS_RUN}-{task}{says}", None if sees == ["fad"] else shown, sampler, *[None] * 6,
                                *(values.get(name) for name in names)])
        sections[title] = [*([*row, None, None, None] for row in rows), *own]
    wider = Table(table.title, table.heads, [*table.columns, "this data FVD", "KVD", "FAD"], sections)
    return [*layout(wider), "", f"this run: {source.says}", "ground truth of this run: the floor, held-out clips in the samples' place",
            "intervals and floors of all figures: mmldm look", *measured.care(shown_figures), *why.lines(),
            *_to_compare(measured, source, "svg", "fvd")]


def scaling(table: Table, measured: Measured, root: Path) -> list[str]:
    """Table 4, with a row for this run's DiT."""
    names = _names(SEES["svg"])
    source = _source(measured, [("svg", name) for name in names])
    counts = read_success(root / "data/dit").get("counts", {})
    assert isinstance(counts, dict)
    sizes = [f"{counts[name] / unit:.4g}{letter}" if name in counts else None
             for name, unit, letter in (("parameters", 1e6, "M"), ("multiply_adds", 1e9, "G"))]
    figures = [source.figure(source.largest, "svg", name) for name in names]
    values = [measured.value(*figure) for figure in figures]
    why = _Reasons()
    why.add(measured, [figure for figure, value in zip(figures, values, strict=True) if value is None])
    rows = [*next(iter(table.sections.values())), [f"{THIS_RUN}, svg", *sizes, *values]]
    return [*layout(Table(table.title, table.heads, table.columns, {"": rows})), "",
            f"this run: {source.says}", "FLOPs: multiply-adds of the linear layers in one pass, which agree with the paper's",
            *measured.care(figures), *why.lines(), *_to_compare(measured, source, "svg", "fvd")]


def ablation(table: Table, measured: Measured, root: Path) -> list[str]:
    """Tables 5 and 6: beside each row its experiment, and in the last row what lies in data/ now."""
    finished = experiment_metrics(root)
    own = {"/".join(key): row["value"] for key, row in measured.rows.items() if row["value"] is not None}
    both_sizes = len(table.columns) == 6
    there = set(own).union(*finished.values())
    source = next((source for source in SOURCES if there & {"/".join(figure) for figure in _of_reconstructions(source, both_sizes)}),
                  SOURCES[0])
    figures = _of_reconstructions(source, both_sizes)
    keys = ["/".join(figure) for figure in figures]
    rows = [[*row, *(finished.get(str(row[1]), {}).get(key) for key in keys)] for row in next(iter(table.sections.values()))]
    lacking = [str(row[1]) for row in rows if str(row[1]) not in finished]
    sweep = str(rows[0][1]).split("-")[0]
    rows.append([THIS_RUN, "none: data/ as it is", *[None] * len(table.columns), *(own.get(key) for key in keys)])
    why = _Reasons()
    why.add(measured, [figure for figure, key in zip(figures, keys, strict=True) if key not in own])
    heads = [f"here {key.split('/')[-1]}" if i == 0 else key.split("/")[-1] for i, key in enumerate(keys)]
    return [*layout(Table(table.title, table.heads, [*table.columns, *heads], {"": rows})), "", f"here: {source.says}",
            *measured.care(figures), *why.lines(),
            *_to_compare(measured, source, "reconstruction", "fvd"),
            *([f"not run: {', '.join(lacking)}; run: mmldm sweep {sweep} --queue, then: dvc queue start"] if lacking else [])]


def efficiency(found: Mapping[str, Any]) -> list[str]:
    """Table 2, with this machine's rows.

    Args:
        found: what `python -m stages.efficiency` prints.
    """
    table = load_table(2)
    rows: list[Sequence[Cell]] = [[*row, None, None] for row in next(iter(table.sections.values()))]
    for row in found["rows"]:
        rows.append([f"{THIS_RUN}, {row['name']}", found["px"], row["train_most"], row["step_sec"], row["sample_most"], row["sample_sec"],
                     row["train_gib"], row["sample_gib"]])
    return [*layout(Table(table.title, table.heads, [*table.columns, "training GiB", "sampling GiB"], {"": rows})), "", *found["says"]]


def layout(table: Table) -> list[str]:
    """A table as lines of equal columns: title, heads, sections."""
    heads = [*table.heads, *table.columns]
    body = [(title, [[_text(cell) for cell in row] for row in rows]) for title, rows in table.sections.items()]
    widths = [max(len(heads[i]), *(len(row[i]) for _, rows in body for row in rows)) for i in range(len(heads))]
    left = len(table.heads)

    def line(cells: Sequence[str]) -> str:
        return "  ".join(cell.ljust(width) if i < left else cell.rjust(width) for i, (cell, width) in
                         enumerate(zip(cells, widths, strict=True))).rstrip()

    lines = [table.title, "", line(heads), "  ".join("-" * width for width in widths)]
    for title, rows in body:
        lines += [*([f"{title}:"] if title else []), *(line(row) for row in rows)]
    return lines


def _source(measured: Measured, wanted: Sequence[tuple[str, str]]) -> Source:
    """The first that has any of the figures (task, metric); the papers' own where none has."""
    return next((source for source in SOURCES for px in source.protocols for task, name in wanted
                 if measured.value(*source.figure(px, task, name)) is not None), SOURCES[0])


def _to_compare(measured: Measured, source: Source, task: str, metric: str) -> list[str]:
    """Where this run has figures of its own kind alone: what those beside the paper's need."""
    if source is not SOURCES[-1]:
        return []
    figure = SOURCES[0].figure(SOURCES[0].largest, task, metric, beginning="r" if task == "reconstruction" else "")
    return [f"to compare with the paper's rows, such as {'/'.join(figure)}: {measured.missing(*figure)}"]


def _of_reconstructions(source: Source, both_sizes: bool) -> list[tuple[str, str, str]]:
    """Their distances, by (protocol, task, name)."""
    return [source.figure(px, "reconstruction", name, beginning="r")
            for px in (source.protocols if both_sizes else [source.largest]) for name in _names(SEES["svg"])]


def _names(sees: str) -> list[str]:
    return sees.split()


def _px(measured: Measured, protocol: str) -> int | None:
    """The size of the frames that a protocol measured."""
    return next((row["resolution_px"] for key, row in measured.rows.items() if key[0] == protocol and row["resolution_px"]), None)


def _params(root: Path, stage: str) -> dict[str, Any]:
    params = read_success(root / "data" / stage).get("params", {})
    assert isinstance(params, dict)
    return params


def _text(cell: Cell) -> str:
    return "-" if cell is None else cell if isinstance(cell, str) else f"{cell:.4g}"


class _Reasons:
    """Why figures are absent, those of one reason together."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {}

    def add(self, measured: Measured, figures: Iterable[tuple[str, str, str]]) -> None:
        for figure in figures:
            names = self.found.setdefault(measured.missing(*figure), [])
            if "/".join(figure) not in names:
                names.append("/".join(figure))

    def lines(self) -> list[str]:
        return [f"not computed: {', '.join(names)}: {reason}" for reason, names in self.found.items()]
