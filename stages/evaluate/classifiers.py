"""The local extractors' networks: two small classifiers, one sees the frames, one hears the waveform; neither knows the generator.

Legend: b batch, f frames, h w picture, s samples, m mel bands, t mel columns, d features. They are trained on this data
set's own training windows to tell the class and what was corrupted (`train_classifiers.py`); the layer before the last gives the
features of fvd_local, kvd_local and fad_local.
"""

import torch
import torchaudio
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

INPUT_PX = 64
NUM_FEATURES = 32  # few, so that a covariance of some tens of samples still says something
MEL_BANDS, MEL_WINDOW_SEC, MEL_HOP_SEC, MEL_MIN_HZ, MEL_MAX_HZ = 64, 0.064, 0.016, 50.0, 8000.0


def small_frames(frames: Tensor) -> Tensor:
    """The video classifier's input: frames of at most 64 x 64, by averaging areas.

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
    """The audio classifier's input. Its settings are its own: a change of `audio.n_mels` must not change the measure.

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


class Classifier(nn.Module):
    """A trunk, features, and from them the class and the kind of corruption; forward gives the loss of one training batch."""

    def __init__(self, trunk: VideoTrunk | AudioTrunk, num_classes: int, num_corruptions: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.to_features = nn.Linear(trunk.num_channels, NUM_FEATURES)
        self.to_class = nn.Sequential(nn.GELU(), nn.Linear(NUM_FEATURES, num_classes))
        self.to_corruption = nn.Sequential(nn.GELU(), nn.Linear(NUM_FEATURES, num_corruptions))

    def features(self, inputs: Tensor) -> Tensor:
        """[b, d], before the last non-linearity; inputs as the trunk takes them."""
        return self.to_features(self.trunk(inputs))

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sum of two cross-entropies, and accuracies; batch: "inputs" as the trunk takes them, "class_id" and "corruption" int64 [b]."""
        features = self.features(batch["inputs"])
        classes, corruptions = self.to_class(features).float(), self.to_corruption(features).float()
        return {
            "loss": F.cross_entropy(classes, batch["class_id"]) + F.cross_entropy(corruptions, batch["corruption"]),
            "class_accuracy": (classes.argmax(1) == batch["class_id"]).float().mean(),
            "corruption_accuracy": (corruptions.argmax(1) == batch["corruption"]).float().mean(),
        }
