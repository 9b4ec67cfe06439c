"""Published weights into networks written here: every name and shape must fit, and nothing is run that a file brings along."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.errors import WeightsError
from pipeline.pretrained import quiet_transformers


def load_state(file: Path, entry: str, inside: str = "") -> dict[str, Tensor]:
    """The tensors of a weights file by name (safetensors, or torch's format without code).

    Args:
        entry: key in params.yaml, for the error text.
        inside: key of the state dict where the file holds more than it.

    Raises:
        WeightsError: not such a file.
    """
    try:
        found = load_file(file) if file.suffix == ".safetensors" else torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch takes any bytes for a pickle, which fails in a dozen ways
        why = next(iter(str(error).splitlines()), "")[:80] or type(error).__name__
        raise WeightsError(f"params.yaml: {entry}: {file} holds no weights that can be read ({why}); fetch it again") from None
    state = found.get(inside, found) if inside and isinstance(found, Mapping) else found
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"params.yaml: {entry}: {file} holds something else than named tensors; fetch the file that the entry is for")
    return dict(state)


def filled(network: nn.Module, state: Mapping[str, Tensor], entry: str, file: Path, unused: tuple[str, ...] = ()) -> nn.Module:
    """`network` with `state` in it, strictly.

    Args:
        unused: beginnings of names that the file has and the network does not need.

    Raises:
        WeightsError: a name is missing or left over, or a shape differs: other weights than the network is for.
    """
    wanted = network.state_dict()
    found = {name: value for name, value in state.items() if not name.startswith(unused)} if unused else dict(state)
    wrong = [name for name in sorted({*wanted, *found})
             if name not in found or name not in wanted or found[name].shape != wanted[name].shape]
    if wrong:
        name = wrong[0]
        got, expected = (tuple(some[name].shape) if name in some else "none" for some in (found, wanted))
        raise WeightsError(f"params.yaml: {entry}: {file} is of another network: {name} is {got} in it, expected {expected} "
                           f"({len(wrong)} of {len(wanted)} differ); fetch the file that the entry is for")
    network.load_state_dict(found)
    return network


def open_processor(class_name: str, folder: Path, entry: str) -> Any:
    """What prepares the input of a network of transformers, from the folder of its weights.

    Raises:
        WeightsError: the folder says nothing about it.
    """
    try:
        with quiet_transformers() as transformers:
            return getattr(transformers, class_name).from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise WeightsError(f"params.yaml: {entry}: {folder} holds no settings of a {class_name} ({' '.join(str(error).split())[:120]}); "
                           "fetch it again, with its preprocessor_config.json") from None


def file_sha256(file: Path) -> str:
    """sha256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def module_sha256(module: nn.Module) -> str:
    """sha256 of a module's parameters and buffers, by name."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
