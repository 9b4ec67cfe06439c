"""A trained network's files, absent, damaged, or of another network: one line that says what to do."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pipeline.contracts.weights_folder import fill, read_config
from pipeline.errors import WeightsError


def test_weights_come_back(tmp_path: Path) -> None:
    save_file(nn.Linear(2, 3).state_dict(), tmp_path / "w.safetensors")
    network = nn.Linear(2, 3)
    fill(network, tmp_path / "w.safetensors")
    save_file(network.state_dict(), tmp_path / "again.safetensors")
    assert (tmp_path / "w.safetensors").read_bytes() == (tmp_path / "again.safetensors").read_bytes()


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:20]),
                                    lambda path: path.write_bytes(b""), lambda path: save_file({"other": torch.zeros(2)}, path)],
                         ids=["absent", "cut off", "empty", "of another network"])
def test_weights_that_cannot_be_used_are_one_line(tmp_path: Path, damage) -> None:
    path = tmp_path / "w.safetensors"
    save_file(nn.Linear(2, 3).state_dict(), path)
    damage(path)
    with pytest.raises(WeightsError, match=r"w\.safetensors (is missing|is damaged|does not fit).*; run: mmldm check") as told:
        fill(nn.Linear(2, 3), path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("text", [None, "", "{", "[1]"])
def test_settings_that_cannot_be_read_are_one_line(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"config\.json is (missing|damaged); run: "):
        read_config(tmp_path / "config.json")
