"""What all extractors with published weights have in common: a weights file, and a network that is there only while it is used."""

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.contracts.window_sets import Window
from pipeline.pretrained import weights_file
from stages.evaluate.extractors.extractor import InputContract, Modality
from stages.evaluate.extractors.weights import file_sha256


class PublishedExtractor(ABC):
    """An `Extractor` by weights of a file; a subclass says what it is and opens its network."""

    name: str
    key: str = ""
    """Under evaluate.extractors in params.yaml; "": its name."""
    where: str
    """Where its weights are to be had, for the person who reads 'not computed'."""
    version: str = "1"
    modality: Modality
    metrics: tuple[str, ...]
    scale: float = 1.0
    batch_size: int
    contract: InputContract
    input: str

    def __init__(self, path: Path, device: torch.device, sample_rate_hz: int) -> None:
        """Args:
            path: the weights file, or the folder that holds it.
            device: where the network will lie.
            sample_rate_hz: of the windows' sound.

        Raises:
            WeightsError: there is no weights file.
        """
        self.path, self.device, self.sample_rate_hz = path, device, sample_rate_hz
        self.file = weights_file(path, self.entry())
        self.weights = file_sha256(self.file)

    @abstractmethod
    def __call__(self, windows: list[Window]) -> Tensor:
        """Features of a batch (extractor.py)."""

    @abstractmethod
    def open(self) -> nn.Module:
        """The network with its weights.

        Raises:
            WeightsError: they are of another one.
        """

    @classmethod
    def entry(cls) -> str:
        """Its key in params.yaml, whole."""
        return f"evaluate.extractors.{cls.key or cls.name}"

    @cached_property
    def network(self) -> Any:
        """Opened when it is first asked for: features that are found need none."""
        return self.open().eval().to(self.device)

    def release(self) -> None:
        """Give the network's memory back."""
        self.__dict__.pop("network", None)
