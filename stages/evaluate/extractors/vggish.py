"""VGGish of AudioSet (Hershey et al. 2017): the features of the original FAD (Kilgour et al. 2019), with the weights of torchvggish.

Legend: b clips, k examples of 0.96 s in each, m mel bands, d features. As FAD's own program takes them: 16 kHz, no PCA, the last
ReLU left out. A clip of 1.6 s gives one example; what is behind 0.96 s is not heard.
"""

from functools import cache

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from pipeline.contracts.window_sets import Window
from stages.evaluate.extractors.extractor import InputContract, stack_waveforms
from stages.evaluate.extractors.published import PublishedExtractor
from stages.evaluate.extractors.sound import resampled
from stages.evaluate.extractors.weights import filled, load_state

RATE_HZ, WINDOW, HOP, N_FFT = 16000, 400, 160, 512
MEL_BANDS, MEL_MIN_HZ, MEL_MAX_HZ, LOG_OFFSET = 64, 125.0, 7500.0, 0.01
EXAMPLE_FRAMES = 96
CHANNELS = (64, 128, 256, 256, 512, 512)
POOLED_AFTER = (0, 1, 3, 5)
"""Convolutions that a 2 x 2 pooling follows."""


class VGGish(PublishedExtractor):
    """128 features of each 0.96 s."""

    name = "vggish"
    where = "vggish-10086976.pth of torchvggish"
    modality = "audio"
    metrics = ("fad",)
    batch_size = 32
    contract = InputContract(min_sec=(WINDOW + (EXAMPLE_FRAMES - 1) * HOP) / RATE_HZ)
    input = "waveform at 16 kHz, log-mel of 0.96 s pieces; 128 features, no PCA, last ReLU left out"

    def open(self) -> nn.Module:
        return filled(VGGishNetwork(), load_state(self.file, self.entry()), self.entry(), self.file)

    def __call__(self, windows: list[Window]) -> Tensor:
        examples = log_mel_examples(resampled(stack_waveforms(windows), self.sample_rate_hz, RATE_HZ)).to(self.device)
        features = self.network(rearrange(examples, "b k t m -> (b k) 1 t m"))
        return rearrange(features, "(b k) d -> b k d", b=len(windows))


class VGGishNetwork(nn.Module):
    """Configuration A of VGG without its last convolutions, names as in torchvggish."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, (channels, out_channels) in enumerate(zip((1, *CHANNELS[:-1]), CHANNELS, strict=True)):
            layers += [nn.Conv2d(channels, out_channels, 3, padding=1), nn.ReLU()]
            if i in POOLED_AFTER:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(nn.Linear(512 * 6 * 4, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 128))

    def forward(self, x: Tensor) -> Tensor:
        """[n, 1, 96, 64] -> [n, 128], before the last ReLU."""
        return self.embeddings(rearrange(self.features(x), "n c t m -> n (t m c)"))


def log_mel_examples(waveform: Tensor) -> Tensor:
    """float32 [b, s] at 16 kHz in [-1, 1] -> float32 [b, k, 96, 64]; computed in float64, as the original program does."""
    frames = waveform.double().unfold(1, WINDOW, HOP)                                          # (b, t, 400)
    magnitudes = torch.fft.rfft(frames * torch.hann_window(WINDOW, periodic=True, dtype=torch.float64), N_FFT).abs()
    log_mel = torch.log(magnitudes @ torch.from_numpy(mel_matrix()) + LOG_OFFSET).float()       # (b, t, 64)
    return log_mel.unfold(1, EXAMPLE_FRAMES, EXAMPLE_FRAMES).transpose(2, 3)


@cache
def mel_matrix() -> np.ndarray:
    """[257, 64]: triangles whose sides are straight in mels, not in Hz; the constant part counts for nothing."""
    def mel(hz: np.ndarray) -> np.ndarray:
        return 1127.0 * np.log(1.0 + hz / 700.0)

    bins = mel(np.linspace(0.0, RATE_HZ / 2, N_FFT // 2 + 1))[:, None]
    edges = np.linspace(mel(np.array(MEL_MIN_HZ)), mel(np.array(MEL_MAX_HZ)), MEL_BANDS + 2)[None]
    low, middle, high = edges[:, :-2], edges[:, 1:-1], edges[:, 2:]
    triangles = np.maximum(0.0, np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)))
    triangles[0] = 0.0
    return triangles
