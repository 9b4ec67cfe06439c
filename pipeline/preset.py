"""Ready params.yaml files (`pipeline/presets/*.yaml`), and how one is put to use without losing the user's data path and labels."""

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.contracts.outputs import write_text
from pipeline.errors import ParamsError
from pipeline.params import Params, parse_params, read_yaml

FOLDER = Path(__file__).parent / "presets"
NAMES = ("demo", "demo-hour", "landscape", "aistpp", "audioset")
"""In the order in which a newcomer meets them."""
KEPT = "params.previous.yaml"
"""Where a params.yaml that was edited by hand is kept when a preset takes its place."""
_RAW = re.compile(r"(?m)^(data:\n  raw: ).*$")
_LABELS = re.compile(r"(?m)^(  labels: ).*$")


@dataclass(frozen=True, slots=True)
class Used:
    """What `use_preset` did."""

    raw: str
    """data.raw of the new params.yaml."""
    kept: bool
    """Whether the old params.yaml was of no preset and lies in `KEPT` now."""


def preset_text(name: str) -> str:
    """The file of a preset, comments included.

    Raises:
        ParamsError: there is no preset of that name.
    """
    if name not in NAMES:
        raise ParamsError(f'there is no preset "{name}", expected one of {", ".join(NAMES)}; run: mmldm preset list')
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def preset_headline(name: str) -> str:
    """The first comment line of a preset: what it is and what it needs."""
    return preset_text(name).splitlines()[0].removeprefix("# ")


def preset_params(name: str) -> Params:
    """A preset, checked."""
    return parse_params(yaml.safe_load(preset_text(name)))


def use_preset(name: str, params_file: Path) -> Used:
    """Write a preset over params.yaml, atomically; the user's `data.raw` and `inventory.labels` stay.

    Args:
        name: one of `NAMES`.
        params_file: the params.yaml to replace; need not exist, nor be whole.

    Raises:
        ParamsError: there is no preset of that name.
    """
    text = preset_text(name)
    current = _values(params_file)
    for section, key, pattern in (("data", "raw", _RAW), ("inventory", "labels", _LABELS)):
        own = current.get(section, {}).get(key) if isinstance(current.get(section), dict) else None
        if isinstance(own, str) and own.strip():
            text = pattern.sub(functools.partial(_replaced, own), text, count=1)
    params = parse_params(yaml.safe_load(text))
    kept = params_file.exists() and not any(_same_but_data(current, yaml.safe_load(preset_text(other))) for other in NAMES)
    if kept:
        write_text(params_file.with_name(KEPT), params_file.read_text(encoding="utf-8"))
    write_text(params_file, text)
    return Used(raw=params.data.raw, kept=kept)


def _values(params_file: Path) -> dict[str, Any]:
    """Content of a params file; {} when it is absent or broken, which is no reason not to replace it."""
    try:
        content = read_yaml(params_file)
    except ParamsError:
        return {}
    return content if isinstance(content, dict) else {}


def _same_but_data(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return _without_users_own(a) == _without_users_own(b)


def _without_users_own(values: dict[str, Any]) -> dict[str, Any]:
    inventory = values.get("inventory")
    return {**values, "data": None, "inventory": {**inventory, "labels": None} if isinstance(inventory, dict) else inventory}


def _replaced(own: str, match: re.Match[str]) -> str:
    return match[1] + _scalar(own)


def _scalar(text: str) -> str:
    """`text` as YAML on one line, in quotes only where it needs them."""
    try:
        plain = yaml.safe_load(f"key: {text}") == {"key": text}
    except yaml.YAMLError:
        plain = False
    return text if plain else json.dumps(text, ensure_ascii=False)
