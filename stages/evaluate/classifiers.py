"""The local extractors' networks: two small classifiers, one sees the frames, one hears the waveform; neither knows the generator.

Legend: b batch, f frames, h w picture, s samples, m mel bands, t mel columns, d features. Trained on this data set's own training
windows (`train_classifiers.py`); the layer before the last gives the features of fvd_local, kvd_local and fad_local.
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
    """Three 3-D convolutions and an average over time and place: it sees what is there and how it moves, not when."""

    num_channels = 64

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(3, 16, (3, 7, 7), stride=(1, 4, 4), padding=(1, 3, 3)), nn.GroupNorm(4, 16), nn.GELU(),
            nn.Conv3d(16, 32, 3, stride=2, padding=1), nn.GroupNorm(4, 32), nn.GELU(),
            nn.Conv3d(32, 64, 3, stride=2, padding=1), nn.GroupNorm(8, 64), nn.GELU(),
        )

    def forward(self, frames: Tensor) -> Tensor:
        """frames uint8 [b, f, h, w, 3] -> [b, 64]."""
        x = rearrange(frames, "b f h w c -> b c f h w").float() / 127.5 - 1
        return self.layers(x).mean((2, 3, 4))


class AudioTrunk(nn.Module):
    """Four 2-D convolutions over the log-mel and an average over time and pitch."""

    num_channels = 64

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.GroupNorm(4, 16), nn.GELU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.GroupNorm(4, 32), nn.GELU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.GroupNorm(8, 64), nn.GELU(),
            nn.Conv2d(64, 64, (MEL_BANDS // 8, 3), padding=(0, 1)), nn.GELU(),  # one kernel over all pitches: place on the axis matters
        )

    def forward(self, mel: Tensor) -> Tensor:
        """mel float32 [b, 64, t] -> [b, 64]."""
        return self.layers(mel[:, None]).mean((2, 3))


class Classifier(nn.Module):
    """A trunk, features, a class; forward gives the loss of one training batch."""

    def __init__(self, trunk: VideoTrunk | AudioTrunk, num_classes: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.to_features = nn.Linear(trunk.num_channels, NUM_FEATURES)
        self.to_class = nn.Sequential(nn.GELU(), nn.Linear(NUM_FEATURES, num_classes))

    def features(self, inputs: Tensor) -> Tensor:
        """[b, d], before the last non-linearity; inputs as the trunk takes them."""
        return self.to_features(self.trunk(inputs))

    def logits(self, features: Tensor) -> Tensor:
        """[b, classes]."""
        return self.to_class(features)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy and accuracy; batch: "inputs" as the trunk takes them, "class_id" int64 [b]."""
        logits = self.logits(self.features(batch["inputs"])).float()
        return {"loss": F.cross_entropy(logits, batch["class_id"]), "accuracy": (logits.argmax(1) == batch["class_id"]).float().mean()}
