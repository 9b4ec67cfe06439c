"""From windows to features: one small interface, so that distances know nothing of networks and networks nothing of distances."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import WeightsError
from stages.evaluate.classifiers import INPUT_PX, Classifier, log_mel, small_frames
from stages.evaluate.windows import Window

Modality = Literal["video", "audio"]
BATCH = 32
I3D_MIN_FRAMES = 10


class Extractor(Protocol):
    """What turns a batch of windows into features."""

    name: str
    """Part of every metric's name: "local", "i3d"."""
    version: str
    """Of its input and network as written here; a change of either is another version."""
    modality: Modality
    weights: str
    """sha256 of its weights."""
    input: str
    """The way of the picture or the sound from the window into the network, in words."""

    def __call__(self, windows: list[Window]) -> Tensor:
        """[len(windows), d]."""


class LocalExtractor:
    """Features by the classifier that was trained on this data set's own training windows."""

    name = "local"
    version = "1"

    def __init__(self, classifier: Classifier, modality: Modality, sample_rate_hz: int) -> None:
        self.classifier, self.modality, self.sample_rate_hz = classifier.eval(), modality, sample_rate_hz
        self.weights = weights_hash(classifier)
        self.input = (f"frames, areas averaged to at most {INPUT_PX} px" if modality == "video"
                      else f"log-mel of the waveform at {sample_rate_hz} Hz")

    def __call__(self, windows: list[Window]) -> Tensor:
        device = next(self.classifier.parameters()).device
        return self.classifier.features(classifier_inputs(windows, self.modality, self.sample_rate_hz).to(device))

    def recognise(self, features: np.ndarray) -> np.ndarray:
        """Class ids int64 [n] of features [n, d] of this extractor."""
        with torch.no_grad():
            head = self.classifier.to_class.cpu()
            return head(torch.from_numpy(features).float()).argmax(1).numpy()


class I3D:
    """Inception I3D of Kinetics-400 as TorchScript, called as StyleGAN-V's metrics call it.

    The network itself scales [0, 255] to [-1, 1] and resizes to 224 x 224.

    Args:
        path: the TorchScript file, or a folder that holds one `.pt` file.

    Raises:
        WeightsError: no such file, or one that is not TorchScript.
    """

    name = "i3d"
    version = "1"
    modality: Modality = "video"
    input = "frames, resized to 224 x 224 inside the network (StyleGAN-V), aspect not kept"

    def __init__(self, path: Path, device: torch.device) -> None:
        file = path if path.is_file() else next(iter(sorted(path.glob("*.pt"))), None)
        if file is None:
            raise WeightsError(f"params.yaml: evaluate.i3d points at {path}, which holds no TorchScript file (.pt)")
        try:
            self.network = torch.jit.load(file, map_location=device).eval()
        except RuntimeError as error:
            raise WeightsError(f"params.yaml: evaluate.i3d: {file} is not TorchScript ({str(error).splitlines()[0]})") from None
        self.device, self.weights = device, hashlib.sha256(file.read_bytes()).hexdigest()

    def __call__(self, windows: list[Window]) -> Tensor:
        videos = torch.from_numpy(np.stack([window.frames for window in windows])).permute(0, 4, 1, 2, 3)  # (b, 3, f, h, w)
        return self.network(videos.float().to(self.device), rescale=True, resize=True, return_features=True)


def classifier_inputs(windows: list[Window], modality: Modality, sample_rate_hz: int) -> Tensor:
    """What a local classifier sees of windows: uint8 [n, f, h, w, 3] or float32 [n, 64, t]."""
    if modality == "video":
        return small_frames(torch.from_numpy(np.stack([window.frames for window in windows])))
    return log_mel(torch.from_numpy(np.stack([window.waveform for window in windows])), sample_rate_hz)


@torch.no_grad()
def features_of(extractor: Extractor, windows: Iterable[Window]) -> np.ndarray:
    """float64 [n, d], one row a window; a batch at a time, so memory does not grow with n."""
    rows = [extractor(batch).double().cpu().numpy() for batch in batches(windows)]
    return np.concatenate(rows) if rows else np.zeros((0, 1))


def batches(windows: Iterable[Window], size: int = BATCH) -> Iterator[list[Window]]:
    """Lists of `size` windows, the last one shorter."""
    remaining = iter(windows)
    while batch := list(islice(remaining, size)):
        yield batch


def weights_hash(module: torch.nn.Module) -> str:
    """The sha256 of a module's parameters and buffers, by name."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
