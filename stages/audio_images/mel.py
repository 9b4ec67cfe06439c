"""Waveform <-> mel in decibels, with the settings that `transformers.SpeechT5HifiGan` inverts (16 kHz, 80 bins, log10).

Shapes: s samples, m mel bins, n columns.
"""

import functools

import torch
import torchaudio
from torch import Tensor

from pipeline.params import AudioParams

AMPLITUDE_FLOOR = 1e-10  # SpeechT5's feature extractor has the same floor under its log10


@functools.lru_cache(maxsize=4)
def filterbank(audio: AudioParams) -> Tensor:
    """Triangular mel filters [n_fft // 2 + 1, m], Slaney scale and norm (SpeechT5's feature extractor and librosa's default)."""
    return torchaudio.functional.melscale_fbanks(
        n_freqs=audio.n_fft // 2 + 1, f_min=audio.f_min_hz, f_max=audio.f_max_hz, n_mels=audio.n_mels,
        sample_rate=audio.sample_rate_hz, norm="slaney", mel_scale="slaney")


def magnitude(waveform: Tensor, audio: AudioParams) -> Tensor:
    """Magnitude of the short-time Fourier transform [n_fft // 2 + 1, s // hop_length] of a waveform [s] in [-1, 1].

    Column i is centred on sample i * hop_length; the ends are padded by reflection.
    """
    window = torch.hann_window(audio.win_length)
    spectrum = torch.stft(waveform, audio.n_fft, audio.hop_length, audio.win_length, window, center=True, return_complex=True)
    return spectrum.abs()[:, :waveform.shape[-1] // audio.hop_length]


def mel_db(waveform: Tensor, audio: AudioParams) -> Tensor:
    """Mel [m, n] in dB, 20 log10 of the mel-filtered magnitude, of a waveform float32 [s] in [-1, 1]."""
    mel = filterbank(audio).T @ magnitude(waveform, audio)
    return 20 * torch.log10(mel.clamp(min=AMPLITUDE_FLOOR))


def magnitude_from_mel(mel: Tensor, audio: AudioParams) -> Tensor:
    """Non-negative least-squares estimate [n_fft // 2 + 1, n] of the magnitude behind a linear mel [m, n]."""
    filters = filterbank(audio).T.double()                                       # (m, f)
    estimate = torch.linalg.lstsq(filters, mel.double(), driver="gelsd").solution.clamp(min=0)  # (f, n)
    # Lee and Seung's multiplicative updates keep the estimate non-negative; 50 bring the mel error under 1%.
    numerator = filters.T @ mel.double()
    estimate = torch.where(estimate > 0, estimate, numerator.mean().clamp(min=1e-12) * 1e-3)
    gram = filters.T @ filters
    for _ in range(50):
        estimate = estimate * numerator / (gram @ estimate).clamp(min=1e-12)
    return estimate.float()
