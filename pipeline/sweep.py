"""`mmldm sweep`: the rows of a table of the paper as DVC experiments, each one `dvc exp run -S ...` on top of params.yaml.

The rows are data (`presets/sweeps/*.yaml`, or a file of one's own): a name, the parameters that it sets, and what the paper printed.
"""

import copy
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.dvc_tool import dvc_command, dvc_environment
from pipeline.errors import ParamsError, RunError
from pipeline.graph import load_graph
from pipeline.params import parse_params, parse_yaml, read_yaml

FOLDER = Path(__file__).parent / "presets" / "sweeps"
TARGET = "evaluate"
"""What a row runs: the figures, and all that they need."""


@dataclass(frozen=True, slots=True)
class Row:
    """One experiment."""

    name: str
    """Of the experiment: the sweep's, its number, the row's."""
    overrides: dict[str, Any]
    paper: Mapping[str, float]

    def command(self, *, queue: bool = False) -> list[str]:
        """`dvc exp run` with every override, without the `dvc` before it."""
        changes = [part for key, value in self.overrides.items() for part in ("-S", f"{key}={hydra(value)}")]
        return ["exp", "run", *(["--queue"] if queue else []), "--name", self.name, *changes, TARGET]


@dataclass(frozen=True, slots=True)
class Sweep:
    """The rows that can be run on the params at hand, and why the others cannot."""

    rows: list[Row]
    left_out: dict[str, str]


def sweep_names() -> list[str]:
    """Of the ready sweeps."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_sweep(name: str, params_file: Path, extra: Mapping[str, Any] | None = None) -> Sweep:
    """The rows of a sweep on top of params.yaml.

    Args:
        name: of a ready sweep, or the path of a YAML file of the same form.
        extra: set in every row, after the rows' own values.

    Raises:
        ParamsError: there is no such sweep, the file is of another form, or a row sets what cannot be run.
    """
    values = read_yaml(params_file)
    parse_params(values)
    assert isinstance(values, dict)
    path = FOLDER / f"{name}.yaml" if name in sweep_names() else Path(name)
    if not path.is_file():
        raise ParamsError(f'there is no sweep "{name}", expected {", ".join(sweep_names())} or a file; run: mmldm sweep {sweep_names()[0]}')
    content = read_yaml(path)
    if not isinstance(content, dict) or set(content) != {"cumulative", "always", "rows"} or not isinstance(content["rows"], list):
        raise ParamsError(f"{path} is no sweep, expected the keys cumulative, always and rows; see: {FOLDER / f'{sweep_names()[0]}.yaml'}")
    set_values(values, extra or {}, "-S")
    rows, left_out, so_far, carried = [], {}, set_values(values, content["always"] or {}, path.name), dict(content["always"] or {})
    for number, entry in enumerate(content["rows"]):
        name, changes, only_if, paper = _entry(entry, f"{path}: rows[{number}]")
        differs = [f"{key} is {get_value(values, key)}" for key, value in only_if.items() if get_value(values, key) != value]
        changed = set_values(so_far, changes, path.name)
        if differs or (content["cumulative"] and changes and changed == so_far):
            left_out[name] = f"params.yaml: {differs[0]}" if differs else "params.yaml has it so already"
            continue
        overrides = {**carried, **changes}
        if content["cumulative"]:
            so_far, carried = changed, overrides
        try:
            parse_params(set_values(set_values(values, overrides, path.name), extra or {}, "-S"))
        except ParamsError as error:
            raise ParamsError(f"{path.name}, row {name}: {error}") from None
        rows.append(Row(f"{path.stem}-{number}-{name}", {**overrides, **(extra or {})}, paper))
    return Sweep(rows, left_out)


def _entry(entry: object, place: str) -> tuple[str, dict[str, Any], dict[str, Any], dict[str, float]]:
    """(name, what it sets, what params.yaml must have for it, the paper's figures) of a row of the file."""
    known = {"name": str, "set": dict, "only_if": dict, "paper": dict}
    values = entry if isinstance(entry, dict) else {}
    fits = {"name", "set"} <= set(values) <= set(known) and all(isinstance(value, known[key]) for key, value in values.items())
    if not fits or not re.fullmatch(r"[\w.-]+", values["name"]):
        raise ParamsError(f"{place} is {entry}, expected name (letters, digits, dots, dashes), set, and if need be only_if and paper")
    return values["name"], values["set"], values.get("only_if", {}), values.get("paper", {})


def queue_sweep(root: Path, sweep: Sweep) -> None:
    """Hand every row to DVC's queue; nothing runs yet.

    Raises:
        RunError: the project is not in a state that a row could be traced back to, or DVC refuses.
    """
    require_clean(root)
    require_found_anywhere(root)
    taken = set(_said(root, dvc_command("exp", "list", "--name-only"), "dvc exp list").split())
    taken |= set(re.findall(r"\S+", _said(root, dvc_command("queue", "status"), "dvc queue status")))
    for row in sweep.rows:
        if row.name in taken:
            raise RunError(f"there is an experiment {row.name} already; remove it: dvc exp remove {row.name} "
                           f"(one that only waits: dvc queue remove {row.name})")
    for row in sweep.rows:
        _said(root, dvc_command(*row.command(queue=True)), f"dvc exp run --queue --name {row.name}")


def require_clean(root: Path) -> None:
    """All is committed: an experiment is a change against a commit, and runs in a copy of what git knows.

    Raises:
        RunError: no git repository, no commit, or files that differ from it.
    """
    if not (root / ".git").exists():
        raise RunError("this folder is no git repository (a download without history?), which experiments need; run: git init")
    if subprocess.run(["git", "rev-parse", "--verify", "-q", "HEAD"], cwd=root, capture_output=True).returncode:
        raise RunError("this git repository has no commit, which experiments start from; run: git add -A && git commit -m start")
    changed = _said(root, ["git", "status", "--porcelain"], "git status").splitlines()
    if changed:
        others = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise RunError(f"{changed[0][3:]}{others} differs from the last commit, which experiments start from; "
                       'run: git add -A && git commit -m "before the sweep"')


def require_found_anywhere(root: Path) -> None:
    """Queued experiments run in folders of their own, from which a relative path leads elsewhere.

    Raises:
        RunError: `data.raw`, or a pretrained part, is a relative path of something that no stage writes.
    """
    values = read_yaml(root / "params.yaml")
    outs = [root / out for stage in load_graph(root).stages.values() for out in stage.outs]
    for key, path in local_paths(values):
        place = (root / path).resolve()
        made_here = any(place.is_relative_to(out.resolve()) for out in outs)
        if not Path(path).is_absolute() and not made_here and place.exists():
            raise RunError(f"params.yaml: {key} is {path}, which experiments, that run in folders of their own, do not find; "
                           f"set it to {place} and commit params.yaml")


def local_paths(values: object, key: str = "") -> list[tuple[str, str]]:
    """(dotted key, value) of what names a place on the disk: data.raw, and every `source`."""
    if not isinstance(values, dict):
        return []
    found = []
    for name, value in values.items():
        own = f"{key}.{name}" if key else str(name)
        if isinstance(value, str) and (own == "data.raw" or name == "source"):
            found.append((own, value))
        found += local_paths(value, own)
    return found


def set_values(values: Mapping[str, Any], changes: Mapping[str, Any], file: str) -> dict[str, Any]:
    """A copy of some params with values at dotted keys replaced.

    Raises:
        ParamsError: params.yaml has no such key.
    """
    copied = copy.deepcopy(dict(values))
    for key, value in changes.items():
        *sections, last = key.split(".")
        place: Any = copied
        for section in sections:
            place = place.get(section) if isinstance(place, dict) else None
        if not isinstance(place, dict) or last not in place:
            raise ParamsError(f"{file} sets {key}, which params.yaml does not have; correct the key")
        place[last] = value
    return copied


def get_value(values: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key, None where there is none."""
    found: Any = values
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def parse_extra(texts: Sequence[str]) -> dict[str, Any]:
    """`["dit.train.steps=100"]` -> {"dit.train.steps": 100}.

    Raises:
        ParamsError: one has no `=`.
    """
    pairs = [text.partition("=") for text in texts]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise ParamsError(f"-S {key} is no override, expected KEY=VALUE, such as -S autoencoder.train.steps=1000")
    return {key: parse_yaml(value, f"-S {key}") for key, _, value in pairs}


def hydra(value: Any) -> str:
    """A value as `dvc exp run -S` reads it."""
    if isinstance(value, (list, tuple)):
        return f"[{','.join(hydra(item) for item in value)}]"
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z_][\w./-]*", value):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)


def shown(sweep: Sweep) -> list[str]:
    """Lines to read and to paste: each row's command, with what the paper printed for it."""
    lines = []
    for row in sweep.rows:
        printed = ", ".join(f"{name} {value:g}" for name, value in row.paper.items())
        lines += [f"# {row.name}{f' (paper: {printed})' if printed else ''}", shlex.join(["dvc", *row.command()])]
    return lines + [f"# left out: {name} ({why})" for name, why in sweep.left_out.items()]


def _said(root: Path, command: list[str], shown_as: str) -> str:
    """What a command prints.

    Raises:
        RunError: it failed; its own words, in one line.
    """
    done = subprocess.run(command, cwd=root, env=dvc_environment(), capture_output=True, text=True)
    if done.returncode:
        errors = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.strip()]
        raise RunError(f"{shown_as} failed: {errors[0] if errors else f'exit code {done.returncode}'}; mend it, then run the same command")
    return done.stdout
