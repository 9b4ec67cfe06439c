"""ESResNeXt-fbsp, the hearing part of AudioCLIP, with the names of its published weights (Guzhov et al. 2021, 2022).

Legend: b batch, s samples, f frames of the signal, q frequencies, h w a spectrogram third, c channels. The sound becomes a spectrogram by
learned frequency B-spline wavelets; its lower, middle and upper third of frequencies are the three colours of an image
for a ResNeXt-50 with an attention beside each level.
"""

import math

import scipy.signal
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import Bottleneck

N_FFT, HOP, WINDOW = 2048, 561, 1654
NUM_FEATURES = 1024
FULL_SCALE = 32768.0
TINY, EPSILON = 1e-18, 1e-8


class ESResNeXt(nn.Module):
    """Waveforms to embeddings."""

    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.fbsp = FrequencyBSpline(N_FFT // 2 + 1)
        self.register_buffer("window", torch.from_numpy(scipy.signal.get_window("blackmanharris", WINDOW)).float())
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1, self.att1 = level(64, 64, 3, stride=1), Attention(64, 256, (3, 1))
        self.layer2, self.att2 = level(256, 128, 4, stride=2), Attention(256, 512, (1, 5))
        self.layer3, self.att3 = level(512, 256, 6, stride=2), Attention(512, 1024, (3, 1))
        self.layer4, self.att4 = level(1024, 512, 3, stride=2), Attention(1024, 2048, (1, 5))
        self.att5 = Attention(2048, 2048, (3, 5))
        self.fc = nn.Linear(2048, NUM_FEATURES)

    def forward(self, waveform: Tensor) -> Tensor:
        """float32 [b, s] in [-32768, 32767] -> [b, 1024], of no particular length."""
        x = self.decibels(waveform)                                              # (b, 3, h, w)
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)  # (b, 64, h/4, w/4)
        for body, attention in ((self.layer1, self.att1), (self.layer2, self.att2), (self.layer3, self.att3), (self.layer4, self.att4)):
            y = body(x)
            x = y * attention(x, y.shape[2:])                                    # last: (b, 2048, h/32, w/32)
        y = F.adaptive_avg_pool2d(x, 1)
        return self.fc((y * self.att5(x, y.shape[2:])).flatten(1))

    def decibels(self, waveform: Tensor) -> Tensor:
        """The image [b, 3, 341, f]: power of a third of the frequencies in each colour, in decibels."""
        # Written so, and in float32, as the published program does: what it rounds away for quiet sound is rounded away here too.
        x = ((waveform - -FULL_SCALE) * 2.0) / (FULL_SCALE - 1 - -FULL_SCALE) + -1.0
        spectrum = self.fbsp(F.pad(framed(x) * self.window, ((N_FFT - WINDOW) // 2, (N_FFT - WINDOW + 1) // 2)))  # (b, f, q, 2)
        power = (spectrum ** 2).sum(-1).transpose(1, 2)                          # (b, q, f)
        third = power.shape[1] // 3
        power = power[:, :3 * third].unflatten(1, (3, third))                    # (b, 3, q/3, f)
        return 10 * torch.log10(torch.where(power > 0, power, TINY))


class FrequencyBSpline(nn.Module):
    """Complex wavelets of order m, bandwidth fb and centre fc, one for each frequency."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.m, self.fb = nn.Parameter(torch.zeros(count)), nn.Parameter(torch.ones(count))
        self.fc = nn.Parameter(torch.arange(count).float())

    def forward(self, frames: Tensor) -> Tensor:
        """[b, f, n] -> real and imaginary part [b, f, q, 2]."""
        t = math.pi * torch.linspace(-1.0, 1.0, frames.shape[-1], device=frames.device)[None] + EPSILON   # (1, n)
        m, fb, fc = self.m[:, None], self.fb[:, None], self.fc[:, None]
        x = fb * t / (m + EPSILON)
        envelope = torch.where(x == 0, torch.ones_like(x), torch.sin(x) / x)
        # The real power of a real number that may be negative: a complex one.
        size, phase = (envelope ** 2) ** (0.5 * m), m * torch.atan2(torch.zeros_like(envelope), envelope)
        real, imaginary = size * torch.cos(phase), size * torch.sin(phase)
        cosine, sine = torch.cos(fc * t), -torch.sin(fc * t)
        gain = fb.sqrt() / frames.shape[-1] ** 0.5
        weights = gain * (real * cosine - imaginary * sine), gain * (real * sine + imaginary * cosine)
        return torch.stack([F.linear(frames, weight) for weight in weights], dim=-1)


class Attention(nn.Module):
    """What to listen to in the level beside it: depthwise and pointwise convolution of the level's input, in [0, 1]."""

    def __init__(self, channels: int, out_channels: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.conv_depth = nn.Conv2d(channels, channels, kernel, padding=(kernel[0] // 2, kernel[1] // 2), groups=channels)
        self.conv_point = nn.Conv2d(channels, out_channels, 1)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor, size: tuple[int, ...] | torch.Size) -> Tensor:
        """[b, c, ...] -> [b, out, *size]."""
        return torch.sigmoid(self.bn(self.conv_point(self.conv_depth(F.adaptive_max_pool2d(x, tuple(size))))))


def level(channels: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    """One level of ResNeXt-50 (32 groups of 4), out of torchvision's blocks."""
    out_channels = 4 * width
    shortcut = nn.Sequential(nn.Conv2d(channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels))
    first = Bottleneck(channels, width, stride, shortcut, groups=32, base_width=4)
    return nn.Sequential(first, *(Bottleneck(out_channels, width, groups=32, base_width=4) for _ in range(blocks - 1)))


def framed(waveform: Tensor) -> Tensor:
    """[b, s] -> overlapping frames [b, f, 1654]; zeros on both sides until the last frame is full."""
    count = 1 + max(0, math.ceil((waveform.shape[-1] - WINDOW) / HOP))
    missing = max(0, (count - 1) * HOP + WINDOW - waveform.shape[-1])
    return F.pad(waveform, (missing // 2, missing - missing // 2)).unfold(1, WINDOW, HOP)
