"""What goes into the networks, against the formulas of their reference programs, written out again in NumPy.

`pytest tests/stages/evaluate/extractors/test_inputs.py`
"""

import librosa
import numpy as np
import pytest
import torch

from stages.evaluate.extractors.esresnext import ESResNeXt, framed
from stages.evaluate.extractors.frames import short_side_cropped, stretched
from stages.evaluate.extractors.i3d import tats_input
from stages.evaluate.extractors.imagebind import audio_input, vision_input
from stages.evaluate.extractors.inception_i3d import padded_same
from stages.evaluate.extractors.panns import LogMel
from stages.evaluate.extractors.sound import cut_or_padded, resampled
from stages.evaluate.extractors.vggish import log_mel_examples
from stages.evaluate.extractors.videomae import videomae_input


def bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """One image [h, w, 3] by the definition: pixel centres, edges repeated, no antialiasing."""
    def places(size: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        where = np.maximum((np.arange(count) + 0.5) * size / count - 0.5, 0)
        low = np.minimum(where.astype(int), size - 1)
        return low, np.minimum(low + 1, size - 1), where - low

    top, bottom, down = places(image.shape[0], height)
    left, right, across = places(image.shape[1], width)
    down, across = down[:, None, None], across[None, :, None]
    upper = image[top][:, left] * (1 - across) + image[top][:, right] * across
    lower = image[bottom][:, left] * (1 - across) + image[bottom][:, right] * across
    return upper * (1 - down) + lower * down


@pytest.fixture
def frames() -> torch.Tensor:
    """uint8 [1, 2, 64, 64, 3]."""
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 2, 64, 64, 3), dtype=np.uint8))


def test_i3d_of_tats_sees_frames_scaled_to_plus_and_minus_one_by_the_short_side(frames: torch.Tensor) -> None:
    expected = bilinear(frames[0, 1].numpy() / 255.0, 224, 224) * 2 - 1
    assert np.abs(tats_input(frames)[0, :, 1].permute(1, 2, 0).numpy() - expected).max() < 1e-5


def test_of_a_wide_frame_the_middle_is_seen() -> None:
    wide = torch.from_numpy(np.random.default_rng(1).random((1, 1, 30, 50, 3), dtype=np.float32))
    whole = bilinear(wide[0, 0].double().numpy(), 60, 100)
    assert np.abs(short_side_cropped(wide, 60)[0, :, 0].permute(1, 2, 0).numpy() - whole[:, 20:80]).max() < 1e-5
    tall = short_side_cropped(wide.transpose(2, 3), 60)
    assert torch.allclose(tall.transpose(3, 4), short_side_cropped(wide, 60), atol=1e-6)
    assert stretched(wide, 60).shape == (1, 3, 1, 60, 60)


def test_videomae_sees_frames_between_zero_and_one(frames: torch.Tensor) -> None:
    assert np.abs(videomae_input(frames)[0, :, 0].permute(1, 2, 0).numpy() - bilinear(frames[0, 0].numpy() / 255.0, 224, 224)).max() < 1e-5


def test_imagebind_sees_the_first_and_the_last_frame_normalised() -> None:
    frames = torch.from_numpy(np.random.default_rng(2).integers(0, 256, (1, 5, 64, 64, 3), dtype=np.uint8))
    mean, std = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    seen = vision_input(frames)
    for place, frame in ((0, 0), (1, 4)):
        expected = (bilinear(frames[0, frame].numpy() / 255.0, 224, 224) - mean) / std
        assert np.abs(seen[0, :, place].permute(1, 2, 0).numpy() - expected).max() < 2e-5


def test_imagebind_hears_a_tone_in_its_band_and_nothing_behind_the_end() -> None:
    time = torch.arange(25600) / 16000
    images = torch.stack([audio_input(torch.sin(2 * torch.pi * hz * time)[None])[0, 0] for hz in (300.0, 4000.0)])
    assert images.shape == (2, 128, 204)
    assert images[0, :, 50].argmax() < images[1, :, 50].argmax()
    silence = (0 - -4.268) / 9.138
    assert torch.allclose(images[:, :, 158:], torch.tensor(silence)), "1.6 s fill 158 of 204 columns"


def vggish_by_hand(wave: np.ndarray) -> np.ndarray:
    """AudioSet's own description: 25 ms windows (periodic Hann) every 10 ms, magnitudes, 64 mel bands of 125 to 7500 Hz, log(x + 0.01)."""
    columns = []
    bins = 1127 * np.log(1 + np.arange(257) * 16000 / 512 / 700)
    edges = np.linspace(1127 * np.log(1 + 125 / 700), 1127 * np.log(1 + 7500 / 700), 66)
    for start in range(0, len(wave) - 399, 160):
        spectrum = np.abs(np.fft.rfft(wave[start:start + 400] * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)), 512))
        column = []
        for low, middle, high in zip(edges, edges[1:], edges[2:], strict=False):
            slopes = np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle))
            slopes[0] = 0
            column.append(np.log((np.maximum(slopes, 0) * spectrum).sum() + 0.01))
        columns.append(column)
    return np.array(columns)


def test_vggish_hears_the_log_mel_of_its_authors() -> None:
    wave = np.random.default_rng(3).normal(0, 0.1, 25600).astype(np.float32)
    examples = log_mel_examples(torch.from_numpy(wave)[None])
    expected = vggish_by_hand(wave.astype(np.float64))
    assert examples.shape == (1, 1, 96, 64)
    assert np.abs(examples[0, 0].numpy() - expected[:96]).max() < 1e-5
    assert log_mel_examples(torch.zeros(1, 16000 * 3)).shape == (1, 3, 96, 64), "whole examples of 0.96 s"


def test_panns_hear_decibels_of_the_mel_bands() -> None:
    wave = np.random.default_rng(4).normal(0, 0.1, 16000).astype(np.float32)
    hears = LogMel()
    hears.melW.copy_(torch.from_numpy(librosa.filters.mel(sr=16000, n_fft=512, n_mels=64, fmin=50, fmax=8000).T))
    power = librosa.feature.melspectrogram(y=wave, sr=16000, n_fft=512, hop_length=160, n_mels=64, fmin=50, fmax=8000, pad_mode="reflect")
    assert np.abs(hears(torch.from_numpy(wave)[None])[0].numpy() - 10 * np.log10(np.maximum(power, 1e-10))).max() < 2e-3


def test_audioclip_hears_thirds_of_a_spectrum_in_decibels() -> None:
    """Before training its wavelets (order 0) are those of a Fourier transform over [-pi, pi]."""
    wave = np.random.default_rng(5).normal(0, 3000, 4000)
    network = ESResNeXt()
    image = network.decibels(torch.from_numpy(wave).float()[None])[0]
    scaled = ((wave.astype(np.float32) + 32768) * 2 / 65535 - 1).astype(np.float64)
    count = 1 + int(np.ceil((4000 - 1654) / 561))
    missing = (count - 1) * 561 + 1654 - 4000
    padded = np.pad(scaled, (missing // 2, missing - missing // 2))
    t = np.pi * np.linspace(-1, 1, 2048) + 1e-8
    window = np.pad(0.35875 - 0.48829 * np.cos(2 * np.pi * np.arange(1654) / 1654) + 0.14128 * np.cos(4 * np.pi * np.arange(1654) / 1654)
                    - 0.01168 * np.cos(6 * np.pi * np.arange(1654) / 1654), 197)
    frame = np.pad(padded[561:561 + 1654], 197) * window
    spectrum = (frame * np.exp(-1j * np.arange(1023)[:, None] * t)).sum(1) / np.sqrt(2048)
    expected = 10 * np.log10(np.abs(spectrum) ** 2).reshape(3, 341)
    assert image.shape == (3, 341, count)
    assert np.abs(image[:, :, 1].detach().numpy() - expected)[np.abs(expected) < 60].max() < 0.05
    assert framed(torch.ones(1, 100)).shape == (1, 1, 1654)


def test_audioclip_on_a_small_scale_loses_what_float32_loses_in_its_own_program() -> None:
    """MM-Diffusion hands over [-1, 1]: near 32768 a float32 has steps of 1/256, so 0.001 is no sound at all."""
    network = ESResNeXt()
    quiet = network.decibels(torch.full((1, 3000), 0.001))
    assert torch.equal(quiet, network.decibels(torch.zeros(1, 3000)))


@pytest.mark.parametrize("size", [7, 8, 15, 16])
@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 2), (2, 2), (3, 1), (1, 1)])
def test_padding_leaves_the_size_over_the_stride_rounded_up(size: int, kernel: int, stride: int) -> None:
    padded = padded_same(torch.ones(1, 1, size, size, size), (kernel,) * 3, (stride,) * 3)
    whole = padded.shape[2] - size
    assert (padded.shape[2] - kernel) // stride + 1 == -(-size // stride)
    assert padded[0, 0, whole // 2, size // 2 + whole // 2, size // 2 + whole // 2] == 1, "an odd pixel is behind"
    assert whole == 0 or padded[0, 0, -1].sum() == 0


def test_resampling_keeps_a_tone_and_padding_its_beginning() -> None:
    time = torch.arange(16000) / 16000
    tone = torch.sin(2 * torch.pi * 440 * time)[None]
    assert resampled(tone, 16000, 16000) is tone
    up = resampled(tone, 16000, 44100)
    expected = torch.sin(2 * torch.pi * 440 * torch.arange(44100) / 44100)
    assert up.shape == (1, 44100) and (up[0, 500:-500] - expected[500:-500]).abs().max() < 2e-3
    assert torch.equal(cut_or_padded(tone, 20000)[:, :16000], tone) and cut_or_padded(tone, 20000)[0, 16000:].abs().sum() == 0
    assert torch.equal(cut_or_padded(tone, 100), tone[:, :100])
