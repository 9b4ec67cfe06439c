"""Weights from disk: a diffusers folder of one of some classes of network, checked to be whole before anyone relies on it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch

from pipeline.errors import WeightsError

Network = TypeVar("Network", bound=torch.nn.Module)


def open_network(folder: Path, named: str, classes: Mapping[str, type[Network]], *, hint: str = "") -> Network:
    """The network of a diffusers folder, float32, on the CPU.

    Args:
        folder: holds config.json and one file of weights.
        named: what the user calls it, for the error text.
        classes: diffusers' classes that it may be, by name.
        hint: what to do when the folder is none of them.

    Raises:
        WeightsError: it is something else, or its weights do not fill the network that its config describes.
    """
    expected = " or ".join(classes)
    config = read_config(folder)
    if config is None:
        raise WeightsError(f"{named}: {folder} has no readable config.json, expected a diffusers folder of {expected}; {hint}")
    name = config.get("_class_name", "a network without a class name")
    if name not in classes:
        raise WeightsError(f"{named}: {folder} holds {name}, expected {expected}; name another folder or subfolder")
    opened: Any = classes[name]
    try:
        network, found = opened.from_pretrained(folder, local_files_only=True, torch_dtype=torch.float32, output_loading_info=True)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split()).split(". ")[0]
        raise WeightsError(f"{named}: the weights in {folder} do not fit its config.json ({reason}); fetch the folder anew") from None
    for kind in ("missing_keys", "unexpected_keys"):  # diffusers fills what is missing with random numbers
        if found[kind]:
            raise WeightsError(f"{named}: the weights in {folder} are not those of its config.json: {kind.replace('_', ' ')} "
                               f"{sorted(found[kind])[0]} and {len(found[kind]) - 1} more; fetch the folder anew")
    network.register_to_config(_name_or_path=None)  # where it lay is no part of what it is
    return network


def read_config(folder: Path) -> dict[str, Any] | None:
    """The config.json of a folder; None when there is none that can be read."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return config if isinstance(config, dict) else None
