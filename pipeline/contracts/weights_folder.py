"""What a training leaves, read back: settings (JSON) and weights (safetensors), in a stage's output or an exported folder."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.errors import WeightsError

WAY_OUT = "run: mmldm check, then: dvc repro (an exported model: export it again)"


def read_config(path: Path) -> dict[str, Any]:
    """The settings.

    Raises:
        WeightsError: the file is absent or damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing; {WAY_OUT}") from None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise WeightsError(f"{path} is damaged; {WAY_OUT}")
    return found


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights by name, on the CPU.

    Raises:
        WeightsError: the file is absent or damaged.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing; {WAY_OUT}") from None
    except SafetensorError as error:
        raise WeightsError(f"{path} is damaged ({error}); {WAY_OUT}") from None


def fill(network: nn.Module, path: Path) -> None:
    """Give a network the weights in a file.

    Raises:
        WeightsError: the file is absent, damaged, or of another network.
    """
    try:
        network.load_state_dict(read_weights(path))
    except RuntimeError as error:
        raise WeightsError(f"{path} does not fit the settings beside it ({str(error).splitlines()[-1].strip()}); {WAY_OUT}") from None
