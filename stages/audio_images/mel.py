"""Waveform <-> mel in decibels, with the settings that `transformers.SpeechT5HifiGan` inverts (16 kHz, 80 bins, log10).

Shapes: s samples, w windows, m mel bins, n columns of a window.
"""

import functools

import numpy as np
import torch
import torchaudio
from torch import Tensor

from pipeline.params import AudioParams

CACHED_COLUMNS = 128
"""Columns (or up to twice as many) that are worked on at a time: 0.5 MB, which stays in a core's cache."""
AMPLITUDE_FLOOR = 1e-10  # SpeechT5's feature extractor has the same floor under its log10


@functools.lru_cache(maxsize=4)
def filterbank(audio: AudioParams) -> Tensor:
    """Triangular mel filters [n_fft // 2 + 1, m], Slaney scale and norm (SpeechT5's feature extractor and librosa's default)."""
    return torchaudio.functional.melscale_fbanks(
        n_freqs=audio.n_fft // 2 + 1, f_min=audio.f_min_hz, f_max=audio.f_max_hz, n_mels=audio.n_mels,
        sample_rate=audio.sample_rate_hz, norm="slaney", mel_scale="slaney")


def mel_db(waveform: Tensor, audio: AudioParams) -> Tensor:
    """Mel [m, n] in dB, 20 log10 of the mel-filtered magnitude, of a waveform float32 [s] in [-1, 1]; n = s // hop_length.

    Column i is centred on sample i * hop_length; the ends are padded by reflection.
    """
    return window_mels_db(waveform, torch.tensor([0]), waveform.shape[-1], audio)[0]


def window_mels_db(waveform: Tensor, starts: Tensor, num_samples: int, audio: AudioParams) -> Tensor:
    """`mel_db` of windows of one waveform, [w, m, n], to the bit; what windows share is computed once.

    A column needs n_fft samples only, and neighbouring windows overlap: with the paper's windows (1.6 s, each 0.1 s after the
    last) two of three columns were computed before. A window's first and last columns are its own, as they see the padding.

    Args:
        waveform: float32 [s] in [-1, 1].
        starts: first sample of each window [w].
        num_samples: length of a window; none may end after the waveform.
    """
    n_fft, pad = audio.n_fft, audio.n_fft // 2
    first = torch.arange(num_samples // audio.hop_length) * audio.hop_length - pad  # (n) of a column's samples, in the window
    inside = (first >= 0) & (first + n_fft <= num_samples)                          # (n)
    shared, place = (starts[:, None] + first[inside]).unique(return_inverse=True)   # (c), (w, n_inside)
    reflected = torch.from_numpy(np.pad(np.arange(num_samples), pad, mode="reflect"))
    ends = reflected.unfold(0, n_fft, audio.hop_length)[:len(first)][~inside]       # (n_own, n_fft)
    own = waveform[starts[:, None, None] + ends]                                    # (w, n_own, n_fft)
    column = torch.empty(len(starts), len(first), dtype=torch.long)
    column[:, inside] = place
    column[:, ~inside] = len(shared) + torch.arange(own.shape[0] * own.shape[1]).reshape(own.shape[:2])
    shared_samples = waveform.unfold(0, n_fft, 1)[shared] if len(shared) else waveform.new_empty(0, n_fft)
    return _columns_db(torch.cat([shared_samples, own.flatten(0, 1)]), audio)[column].transpose(1, 2)


def _columns_db(samples: Tensor, audio: AudioParams) -> Tensor:
    """Mel columns [c, m] in dB of stretches of n_fft samples [c, n_fft]."""
    left = (audio.n_fft - audio.win_length) // 2
    window = torch.nn.functional.pad(torch.hann_window(audio.win_length), (left, audio.n_fft - audio.win_length - left))
    # Parts of about one size: a product of one to three rows is rounded in another way than the same rows among many.
    pieces = samples.tensor_split(max(len(samples) // CACHED_COLUMNS, 1))
    mels = [torch.fft.rfft(piece * window).abs() @ filterbank(audio) for piece in pieces]
    return 20 * torch.log10(torch.cat(mels).clamp(min=AMPLITUDE_FLOOR))


def magnitude_from_mel(mel: Tensor, audio: AudioParams) -> Tensor:
    """Non-negative least-squares estimate [n_fft // 2 + 1, n] of the magnitude behind a linear mel [m, n]."""
    filters = filterbank(audio).T.double()                                       # (m, f)
    numerator = filters.T @ mel.double()                                         # (f, n)
    estimate = _inverse_filterbank(audio) @ mel.double()                         # (f, n)
    estimate = torch.where(estimate > 0, estimate, numerator.mean().clamp(min=1e-12) * 1e-3)
    # Lee and Seung's multiplicative updates keep the estimate non-negative; 50 bring the mel error under 1%.
    for _ in range(50):
        estimate = estimate * numerator / (filters.T @ (filters @ estimate)).clamp(min=1e-12)
    return estimate.float()


@functools.lru_cache(maxsize=4)
def _inverse_filterbank(audio: AudioParams) -> Tensor:
    """Moore and Penrose's inverse float64 [n_fft // 2 + 1, m] of the mel filters: least squares in one product."""
    return torch.linalg.pinv(filterbank(audio).T.double())
