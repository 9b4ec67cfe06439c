"""Networks on disk for the KL-VAE's tests."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import ModelMixin


@pytest.fixture()
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Factory: `saved(network)` -> its diffusers folder."""

    def save(network: ModelMixin, name: str = "vae") -> Path:
        network.save_pretrained(tmp_path / name)
        return tmp_path / name

    return save


@pytest.fixture(scope="session")
def vgg16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The convolutions of a VGG16 with random weights, in a file as torchvision's are."""
    from torchvision.models import vgg16 as build

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("vgg") / "vgg16-397923af.pth"
    torch.save({name: value.clone() for name, value in build(weights=None).state_dict().items() if name.startswith("features.")}, path)
    return path
