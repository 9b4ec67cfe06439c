"""Mel and gray image: pytest tests/stages/audio_images/test_mel_and_image.py"""

from dataclasses import replace

import librosa
import numpy as np
import pytest
import torch

from pipeline.params import AudioParams
from stages.audio_images.image import gray_from_mel, gray_from_rgb, mel_from_gray, rgb_from_gray
from stages.audio_images.mel import mel_db, window_mels_db

AUDIO = AudioParams(sample_rate_hz=16000, n_fft=1024, win_length=1024, hop_length=256, n_mels=80, f_min_hz=80.0, f_max_hz=7600.0)
FLOOR, CEILING = -80.0, 10.0


def clicks(times_sec: tuple[float, ...], frequency_hz: float = 600.0) -> torch.Tensor:
    """1.6 s of decaying tones that begin at the given times."""
    t = torch.arange(25600) / 16000
    return sum((torch.where(t >= start, torch.exp(-30 * (t - start)) * torch.sin(2 * torch.pi * frequency_hz * t), 0.0) * 0.6
                for start in times_sec), torch.zeros(25600))


def test_mel_equals_librosas() -> None:
    wave = clicks((0.2, 0.8))
    reference = librosa.feature.melspectrogram(
        y=wave.numpy(), sr=16000, n_fft=1024, hop_length=256, n_mels=80, fmin=80, fmax=7600, power=1.0, pad_mode="reflect")[:, :100]
    np.testing.assert_allclose(10 ** (mel_db(wave, AUDIO).numpy() / 20), np.maximum(reference, 1e-10), rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("hop_length", [256, 100])
def test_windows_of_one_waveform_have_the_mels_that_each_has_alone(hop_length: int) -> None:
    audio = replace(AUDIO, hop_length=hop_length, win_length=800)
    wave = torch.randn(5 * 16000, generator=torch.Generator().manual_seed(0))
    starts = torch.tensor([0, 1600, 3200, 4800, 4801, 54400])
    together = window_mels_db(wave, starts, 25600, audio)
    assert torch.equal(together, torch.stack([mel_db(wave[start:start + 25600], audio) for start in starts.tolist()]))


def test_window_of_the_paper_is_100_columns() -> None:
    assert mel_db(clicks((0.2,)), AUDIO).shape == (80, 100)


def test_gray_is_the_stated_line_with_low_frequencies_at_the_bottom() -> None:
    gray = gray_from_mel(torch.tensor([[FLOOR, -35.0, CEILING], [-200.0, 20.0, FLOOR + 90 / 255]]), FLOOR, CEILING)
    np.testing.assert_array_equal(gray, [[0, 255, 1], [0, 128, 255]])


def test_eight_bits_lose_less_than_a_step() -> None:
    mel = torch.linspace(FLOOR, CEILING, 800).reshape(80, 10)
    assert (mel_from_gray(gray_from_mel(mel, FLOOR, CEILING), FLOOR, CEILING) - mel).abs().max() <= (CEILING - FLOOR) / 255 / 2 + 1e-4


def test_resize_to_the_paper_size_and_back_keeps_the_image() -> None:
    gray = gray_from_mel(mel_db(clicks((0.2, 0.8, 1.3)), AUDIO), FLOOR, CEILING)
    image = rgb_from_gray(gray, 256)
    assert image.shape == (256, 256, 3) and image.dtype == np.uint8
    apart = np.abs(gray_from_rgb(image, gray.shape).astype(float) - gray)
    assert apart.mean() < 0.5 and apart.max() <= 10  # most beside the edge of an onset in black, where an overshoot was cut off


def test_a_smaller_image_keeps_the_outlines() -> None:
    gray = gray_from_mel(mel_db(clicks((0.2, 0.8, 1.3)), AUDIO), FLOOR, CEILING)
    assert np.abs(gray_from_rgb(rgb_from_gray(gray, 64), gray.shape).astype(float) - gray).mean() < 4


def test_noise_of_a_generated_image_does_not_grow_on_the_way_back() -> None:
    gray = gray_from_mel(mel_db(clicks((0.2, 0.8, 1.3)), AUDIO), 2 * FLOOR, 2 * CEILING)  # nothing at either end of the range
    noise = np.random.default_rng(0).normal(0, 10, (256, 256, 1))
    noisy = np.clip(np.rint(rgb_from_gray(gray, 256) + noise), 0, 255).astype(np.uint8)
    assert (gray_from_rgb(noisy, gray.shape).astype(float) - gray).std() < 10
