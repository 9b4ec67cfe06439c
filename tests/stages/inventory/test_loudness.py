"""Loudness against the standard's own figures and torchaudio: pytest tests/stages/inventory/test_loudness.py"""

import numpy as np
import pytest

from stages.inventory.loudness import LoudnessMeter, k_weighting


def loudness(wave: np.ndarray, rate_hz: int, names: tuple[str, ...] = ("FL", "FR"), piece: int = 1024) -> float | None:
    meter = LoudnessMeter(rate_hz, names)
    for begin in range(0, wave.shape[1], piece):
        meter.add(wave[:, begin:begin + piece])
    return meter.integrated()


def sine(rate_hz: int, seconds: float, hz: float = 997.0, level: float = 1.0) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def test_the_filters_are_the_tables_of_the_standard_at_48_khz() -> None:
    # ITU-R BS.1770-4, tables 1 and 2.
    shelf = [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585]
    high_pass = [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621]
    assert k_weighting(48000) == pytest.approx(np.array([shelf, high_pass]), abs=1e-8)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 44100, 48000, 96000])
def test_a_full_scale_sine_in_one_channel_is_minus_3_01(rate_hz: int) -> None:
    # BS.1770-4: "a 0 dB FS 1 kHz (997 Hz to be exact) sine wave applied to the left, centre, or right channel ... -3.01 LKFS".
    wave = np.stack([sine(rate_hz, 3.0), np.zeros(3 * rate_hz)])
    assert loudness(wave, rate_hz) == pytest.approx(-3.01, abs=0.05)


def test_channels_behind_weigh_more_and_the_low_one_nothing() -> None:
    names = ("FL", "FR", "FC", "LFE", "SL", "SR")
    tone, none = sine(48000, 2.0), np.zeros(96000)
    alone = {name: loudness(np.stack([tone if name == other else none for other in names]), 48000, names) for name in ("FC", "LFE", "SL")}
    assert alone["LFE"] is None
    assert alone["FC"] is not None and alone["SL"] is not None
    assert alone["SL"] - alone["FC"] == pytest.approx(10 * np.log10(1.41), abs=1e-6)


def test_quiet_parts_are_gated_and_silence_has_no_loudness() -> None:
    loud, quiet = sine(48000, 5.0, level=0.1), sine(48000, 20.0, level=0.001)
    assert loudness(np.concatenate([loud, quiet])[None], 48000, ("FC",)) == pytest.approx(loudness(loud[None], 48000, ("FC",)), abs=0.2)
    assert loudness(np.zeros((1, 48000)), 48000, ("FC",)) is None
    assert loudness(sine(48000, 0.3)[None], 48000, ("FC",)) is None  # shorter than one block


def test_pieces_of_any_length_give_the_same() -> None:
    wave = np.random.default_rng(0).standard_normal((2, 3 * 11025)) * 0.1
    values = [loudness(wave, 11025, piece=piece) for piece in (100, 1152, 10**6)]
    assert values == pytest.approx([values[0]] * 3, abs=1e-9)


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
def test_torchaudio_says_nearly_the_same(rate_hz: int) -> None:
    torch, functional = pytest.importorskip("torch"), pytest.importorskip("torchaudio.functional")
    rng = np.random.default_rng(1)
    wave = rng.standard_normal((2, 6 * rate_hz)) * 0.05 * np.repeat([1.0, 0.3, 2.0], 2 * rate_hz)
    theirs = functional.loudness(torch.from_numpy(wave), rate_hz).item()
    # Its shelf starts at 1500 Hz with 4 dB, the standard's at 1682 Hz.
    assert loudness(wave, rate_hz) == pytest.approx(theirs, abs=0.25)
