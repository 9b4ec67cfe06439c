"""The local networks: one sees the frames, one hears the waveform; neither knows the generator.

Legend: b batch, f frames, h w picture, s samples, m mel bands, t mel columns, d features. They are trained on this data
set's own training windows (`train.py`); the layer before the last gives the features of fvd_local, kvd_local and fad_local.
"""

from pathlib import Path
from typing import Literal

import torch
import torchaudio
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.contracts.outputs import require_whole
from pipeline.contracts.weights_folder import fill, read_config
from stages.local_features.corruptions import AUDIO, VIDEO

Modality = Literal["video", "audio"]
MODALITIES: tuple[Modality, ...] = ("video", "audio")
CONFIG = "config.json"
CONTRAST_DIM, TEMPERATURE = 16, 0.2
INPUT_PX = 64
NUM_FEATURES = 32  # few, so that a covariance of some tens of samples still says something
MEL_BANDS, MEL_WINDOW_SEC, MEL_HOP_SEC, MEL_MIN_HZ, MEL_MAX_HZ = 64, 0.064, 0.016, 50.0, 8000.0


def small_frames(frames: Tensor) -> Tensor:
    """What the video network sees: frames of at most 64 x 64, by averaging areas.

    Args:
        frames: uint8 [b, f, h, w, 3] in [0, 255].

    Returns:
        uint8 [b, f, min(h, 64), min(w, 64), 3]; the same values when the frames are small already.
    """
    batch, height, width = frames.shape[0], min(frames.shape[2], INPUT_PX), min(frames.shape[3], INPUT_PX)
    if (height, width) == tuple(frames.shape[2:4]):
        return frames
    images = rearrange(frames, "b f h w c -> (b f) c h w").float()
    images = F.interpolate(images, size=(height, width), mode="area").round().to(torch.uint8)
    return rearrange(images, "(b f) c h w -> b f h w c", b=batch)


def log_mel(waveform: Tensor, sample_rate_hz: int) -> Tensor:
    """What the audio network hears. Its settings are its own: a change of `audio.n_mels` must not change the measure.

    Args:
        waveform: int16 [b, s].

    Returns:
        float32 [b, 64, t]: natural logarithm of the mel magnitudes, shifted and scaled to about [-1.5, 2.5].
    """
    n_fft = round(MEL_WINDOW_SEC * sample_rate_hz)
    spectrum = torch.stft(waveform.float() / 32768.0, n_fft, round(MEL_HOP_SEC * sample_rate_hz), window=torch.hann_window(n_fft),
                          return_complex=True).abs()
    bank = torchaudio.functional.melscale_fbanks(n_fft // 2 + 1, MEL_MIN_HZ, min(MEL_MAX_HZ, sample_rate_hz / 2), MEL_BANDS, sample_rate_hz,
                                                 norm="slaney", mel_scale="slaney")
    return (torch.log(torch.clamp(bank.T @ spectrum, min=1e-5)) + 6.0) / 4.0


class VideoTrunk(nn.Module):
    """3-D convolutions over frames and their differences, then mean and deviation over time and place: what is there and how it moves."""

    num_channels = 128

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(6, 24, (1, 4, 4), stride=(1, 4, 4)), nn.GELU(),
            nn.Conv3d(24, 32, 3, stride=2, padding=1), nn.GroupNorm(4, 32), nn.GELU(),
            nn.Conv3d(32, 64, 3, stride=2, padding=1), nn.GroupNorm(8, 64), nn.GELU(),
        )

    def forward(self, frames: Tensor) -> Tensor:
        """frames uint8 [b, f, h, w, 3] -> [b, 128]."""
        x = rearrange(frames, "b f h w c -> b c f h w").float() / 127.5 - 1                    # (b, 3, f, h, w)
        change = torch.diff(x, dim=2, prepend=x[:, :, :1])
        x = self.layers(torch.cat([x, 4 * change], dim=1)).flatten(2)
        return torch.cat([x.mean(2), x.std(2, correction=0)], dim=1)


class AudioTrunk(nn.Module):
    """2-D convolutions over the log-mel, then mean and deviation over time."""

    num_channels = 128

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.GroupNorm(4, 16), nn.GELU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.GroupNorm(4, 32), nn.GELU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.GroupNorm(8, 64), nn.GELU(),
            nn.Conv2d(64, 64, (MEL_BANDS // 8, 3), padding=(0, 1)), nn.GELU(),  # one kernel over all pitches: place on the axis matters
        )

    def forward(self, mel: Tensor) -> Tensor:
        """mel float32 [b, 64, t] -> [b, 128]."""
        x = self.layers(mel[:, None]).flatten(2)
        return torch.cat([x.mean(2), x.std(2, correction=0)], dim=1)


class LocalNetwork(nn.Module):
    """A trunk, features, and from them the class and the kind of corruption; forward gives the loss of one training batch.

    With a single class there is nothing to tell apart by it: the features then learn which two views show one clip.
    """

    def __init__(self, modality: Modality, num_classes: int) -> None:
        super().__init__()
        self.modality, self.num_classes = modality, num_classes
        self.trunk = VideoTrunk() if modality == "video" else AudioTrunk()
        self.to_features = nn.Linear(self.trunk.num_channels, NUM_FEATURES)
        head = nn.Linear(NUM_FEATURES, num_classes if num_classes > 1 else CONTRAST_DIM)
        self.to_class = nn.Sequential(nn.GELU(), head) if num_classes > 1 else None
        self.to_contrast = None if num_classes > 1 else nn.Sequential(nn.GELU(), head)
        self.to_corruption = nn.Sequential(nn.GELU(), nn.Linear(NUM_FEATURES, len(VIDEO if modality == "video" else AUDIO)))

    def features(self, inputs: Tensor) -> Tensor:
        """[b, d], before the last non-linearity; inputs as the trunk takes them."""
        return self.to_features(self.trunk(inputs))

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sum of two losses, and accuracies.

        Args:
            batch: "inputs" as the trunk takes them, "class_id" and "corruption" int64 [b]; with one class also "view_a" and "view_b",
                inputs that show the same clip in row i.
        """
        features = self.features(batch["inputs"])
        corruptions = self.to_corruption(features).float()
        found = {"corruption_accuracy": (corruptions.argmax(1) == batch["corruption"]).float().mean()}
        if self.to_class is not None:
            logits, truth, name = self.to_class(features).float(), batch["class_id"], "class_accuracy"
            loss = F.cross_entropy(logits, truth)
        else:
            assert self.to_contrast is not None
            a, b = (F.normalize(self.to_contrast(self.features(batch[view])).float(), dim=1) for view in ("view_a", "view_b"))
            logits, truth, name = a @ b.T / TEMPERATURE, torch.arange(len(a), device=a.device), "same_clip_accuracy"
            loss = (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2
        return {"loss": loss + F.cross_entropy(corruptions, batch["corruption"]), name: (logits.argmax(1) == truth).float().mean(), **found}

    def inputs(self, frames: Tensor, waveform: Tensor, sample_rate_hz: int) -> Tensor:
        """What the trunk takes of windows: frames uint8 [b, f, h, w, 3], waveform int16 [b, s]."""
        return small_frames(frames) if self.modality == "video" else log_mel(waveform, sample_rate_hz)

    def input_in_words(self, sample_rate_hz: int) -> str:
        """The same for a person."""
        return (f"frames, areas averaged to at most {INPUT_PX} px" if self.modality == "video"
                else f"log-mel of the waveform at {sample_rate_hz} Hz")


def load(folder: Path) -> dict[Modality, LocalNetwork]:
    """Both networks of a finished local_features stage.

    Raises:
        DataError: the stage is not finished.
        WeightsError: a file is absent or damaged, or other code wrote it.
    """
    config = read_config(require_whole(folder) / CONFIG)
    networks: dict[Modality, LocalNetwork] = {}
    for modality in MODALITIES:
        networks[modality] = LocalNetwork(modality, int(config["num_classes"]))
        fill(networks[modality], folder / f"{modality}.safetensors")
        networks[modality].eval()
    return networks
