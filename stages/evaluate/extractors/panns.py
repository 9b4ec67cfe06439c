"""PANNs Cnn14 at 16 kHz (Kong et al. 2020): the sound classifier behind FD, KL and inception score of the video-to-audio papers.

Legend: b clips, t columns, m mel bands. As av-benchmark and audioldm_eval call it: clips padded with silence to 10 s.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.contracts.window_sets import Window
from stages.evaluate.extractors.extractor import InputContract, stack_waveforms
from stages.evaluate.extractors.published import PublishedExtractor
from stages.evaluate.extractors.sound import cut_or_padded, resampled
from stages.evaluate.extractors.weights import filled, load_state

RATE_HZ, N_FFT, HOP, MEL_BANDS = 16000, 512, 160, 64
PADDED_SEC = 10
NUM_CLASSES = 527
WIDTHS = (64, 128, 256, 512, 1024, 2048)


class PANNs(PublishedExtractor):
    """2048 features, and 527 classes of AudioSet."""

    name = "panns"
    where = "Cnn14_16k_mAP=0.438.pth of PANNs"
    modality = "audio"
    metrics = ("fd",)
    batch_size = 16
    contract = InputContract(max_sec=PADDED_SEC)
    input = "waveform at 16 kHz, silence behind it to 10 s, log-mel; 2048 features"

    def open(self) -> nn.Module:
        state = load_state(self.file, self.entry(), inside="model")
        return filled(Cnn14(), state, self.entry(), self.file, unused=("spectrogram_extractor.",))

    def __call__(self, windows: list[Window]) -> Tensor:
        waveform = resampled(stack_waveforms(windows), self.sample_rate_hz, RATE_HZ)
        return self.network(cut_or_padded(waveform, PADDED_SEC * RATE_HZ).to(self.device))

    @torch.no_grad()
    def log_probabilities(self, features: np.ndarray) -> np.ndarray:
        """[n, 527] of features [n, 2048]: softmax of the classes' logits, as KL and inception score take them."""
        logits = self.network.fc_audioset(torch.from_numpy(features).float().to(self.device))
        return F.log_softmax(logits.double(), dim=1).cpu().numpy()


class Cnn14(nn.Module):
    """Six blocks of convolutions over the log-mel, names as published."""

    def __init__(self) -> None:
        super().__init__()
        self.logmel_extractor = LogMel()
        self.bn0 = nn.BatchNorm2d(MEL_BANDS)
        for i, (channels, width) in enumerate(zip((1, *WIDTHS[:-1]), WIDTHS, strict=True), 1):
            self.add_module(f"conv_block{i}", ConvBlock(channels, width))
        self.fc1 = nn.Linear(2048, 2048)
        self.fc_audioset = nn.Linear(2048, NUM_CLASSES)

    def forward(self, waveform: Tensor) -> Tensor:
        """float32 [b, s] at 16 kHz -> [b, 2048]."""
        x = self.bn0(self.logmel_extractor(waveform)[..., None]).permute(0, 3, 2, 1)   # (b, 1, t, m)
        for i in range(1, 7):
            x = getattr(self, f"conv_block{i}")(x)
            x = F.avg_pool2d(x, 2) if i < 6 else x                                      # last: (b, 2048, t/32, m/32)
        x = x.mean(3)
        return F.relu(self.fc1(x.amax(2) + x.mean(2)))


class ConvBlock(nn.Module):
    """Two convolutions, each with batch normalisation and ReLU."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class LogMel(nn.Module):
    """Power of the mel bands in decibels; the filters lie in the weights file."""

    melW: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("melW", torch.zeros(N_FFT // 2 + 1, MEL_BANDS))

    def forward(self, waveform: Tensor) -> Tensor:
        """[b, s] -> [b, m, t]."""
        spectrum = torch.stft(waveform, N_FFT, HOP, window=torch.hann_window(N_FFT, device=waveform.device), center=True,
                              pad_mode="reflect", return_complex=True)
        mel = self.melW.T @ (spectrum.real ** 2 + spectrum.imag ** 2)
        return 10 * torch.log10(torch.clamp(mel, min=1e-10))
