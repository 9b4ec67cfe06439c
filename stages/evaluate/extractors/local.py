"""The local extractors: the networks that the stage local_features trained on this data set's own training clips."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.contracts.window_sets import Window
from stages.evaluate.extractors.extractor import InputContract, Modality, stack_frames
from stages.evaluate.extractors.weights import module_sha256
from stages.local_features import LocalNetwork, load


class LocalExtractor:
    """Features by one of the networks, and the classes that it learned."""

    name = "local"
    version = "1"
    scale = 1.0
    batch_size = 32
    contract = InputContract()

    def __init__(self, network: LocalNetwork, device: torch.device, sample_rate_hz: int) -> None:
        self.network, self.device, self.sample_rate_hz = network.to(device).eval(), device, sample_rate_hz
        self.modality: Modality = network.modality
        self.metrics: tuple[str, ...] = ("fvd", "kvd") if network.modality == "video" else ("fad",)
        self.weights = module_sha256(network)
        self.input = network.input_in_words(sample_rate_hz)

    def __call__(self, windows: list[Window]) -> Tensor:
        waveform = torch.from_numpy(np.stack([window.waveform for window in windows]))
        return self.network.features(self.network.inputs(stack_frames(windows), waveform, self.sample_rate_hz).to(self.device))

    def release(self) -> None:
        """Nothing to give back: it is small."""

    @property
    def knows_classes(self) -> bool:
        """Whether the data set has two classes or more."""
        return self.network.to_class is not None

    @torch.no_grad()
    def log_probabilities(self, features: np.ndarray) -> np.ndarray:
        """[n, classes] of features [n, d] of this extractor."""
        assert self.network.to_class is not None
        return F.log_softmax(self.network.to_class(torch.from_numpy(features).float().to(self.device)).double(), dim=1).cpu().numpy()

    def recognise(self, features: np.ndarray) -> np.ndarray:
        """Class ids int64 [n] of features [n, d] of this extractor."""
        return self.log_probabilities(features).argmax(1)


def local_extractors(folder: Path, device: torch.device, sample_rate_hz: int) -> list[LocalExtractor]:
    """Both, out of data/local_features; raises as `stages.local_features.load`."""
    return [LocalExtractor(network, device, sample_rate_hz) for network in load(folder).values()]
