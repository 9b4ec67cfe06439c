"""Waveforms on their way into a network."""

import torch
import torchaudio
from torch import Tensor


def resampled(waveform: Tensor, rate_hz: int, to_hz: int) -> Tensor:
    """float32 [b, s] at another rate, by torchaudio's windowed sinc; the very same when the rates are equal."""
    return waveform if rate_hz == to_hz else torchaudio.functional.resample(waveform, rate_hz, to_hz)


def cut_or_padded(waveform: Tensor, num_samples: int) -> Tensor:
    """[b, num_samples]: the beginning, or zeros behind."""
    waveform = waveform[:, :num_samples]
    return torch.nn.functional.pad(waveform, (0, num_samples - waveform.shape[1]))
