"""The trained DiT on disk: `dit.safetensors` (EMA weights) and `config.json` (params, shapes, statistics, classes)."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.contracts.latents import LatentStatistics
from pipeline.contracts.outputs import require_whole, write_text
from pipeline.contracts.weights_folder import fill, read_config
from pipeline.errors import DataError
from pipeline.params import DiTParams
from pipeline.params_reader import build, to_values
from stages.dit.diffusion import Diffusion
from stages.dit.model import JointDiT

WEIGHTS, CONFIG = "dit.safetensors", "config.json"


class LatentScale(nn.Module):
    """Latents in the autoencoder's units <-> the DiT's: mean 0 and deviation 1 per channel over the training set."""

    audio_mean: Tensor
    audio_std: Tensor
    video_mean: Tensor
    video_std: Tensor

    def __init__(self, statistics: LatentStatistics) -> None:
        super().__init__()
        for name in ("audio_mean", "audio_std", "video_mean", "video_std"):
            values = torch.tensor(getattr(statistics, name), dtype=torch.float32)
            self.register_buffer(name, values.view(1, -1, 1, 1), persistent=False)  # they live in config.json

    def normalise(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """z_a, z_v [b, c, h, w] as the DiT takes them."""
        return (audio - self.audio_mean) / self.audio_std, (video - self.video_mean) / self.video_std

    def denormalise(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """z_a, z_v as the autoencoder decodes them."""
        return audio * self.audio_std + self.audio_mean, video * self.video_std + self.video_mean


@dataclass(frozen=True, slots=True)
class TrainedDiT:
    """A DiT ready to sample: network (EMA, eval mode), its params, statistics and prediction settings."""

    network: JointDiT
    params: DiTParams
    statistics: LatentStatistics
    scale: LatentScale
    diffusion: Diffusion
    device: torch.device

    @property
    def class_names(self) -> tuple[str, ...]:
        """By class id; empty when the network knows no classes."""
        return self.statistics.class_names if self.params.context == "class" else ()


def make_network(params: DiTParams, statistics: LatentStatistics) -> JointDiT:
    """A fresh network for latents of these shapes, classes and texts.

    Raises:
        DataError: it is to read texts, and none are cached.
    """
    if params.context == "text" and not statistics.text_shape:
        raise DataError("dit.context is text, and data/latents holds no embedded captions; set latents.text_encoder, then run: dvc repro")
    return JointDiT(params, statistics.audio_shape, statistics.video_shape, len(statistics.class_names), statistics.text_shape)


def save(folder: Path, network: JointDiT, statistics: LatentStatistics) -> None:
    """Write weights and config."""
    weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    save_file(weights, folder / WEIGHTS)
    config = {"params": to_values(network.params), "statistics": asdict(statistics)}
    write_text(folder / CONFIG, json.dumps(config, indent=1) + "\n")


def load(path: Path, device: torch.device) -> TrainedDiT:
    """The trained DiT of a finished `dit` stage.

    Raises:
        DataError: the stage has not finished.
        WeightsError: weights or config are absent, damaged, or do not belong together.
    """
    return open_folder(require_whole(path), device)


def open_folder(path: Path, device: torch.device) -> TrainedDiT:
    """The same of an exported folder, which carries no mark of a stage."""
    config = read_config(path / CONFIG)
    params = build(DiTParams, config["params"], "dit")
    statistics = LatentStatistics(**{name: tuple(value) for name, value in config["statistics"].items()})
    network = make_network(params, statistics)
    fill(network, path / WEIGHTS)
    diffusion = Diffusion(params.prediction, params.zero_terminal_snr).to(device)
    network.to(device).eval().requires_grad_(False)
    return TrainedDiT(network, params, statistics, LatentScale(statistics).to(device), diffusion, device)
