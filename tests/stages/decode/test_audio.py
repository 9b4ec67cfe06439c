"""Sound in step with the picture, never clipped: pytest tests/stages/decode/test_audio.py"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stages.decode.audio import read_waveform, to_int16
from stages.decode.video import PyavReader

MakeClip = Callable[..., Path]
RATE = 16000


def first_frame_sec(path: Path) -> float:
    with PyavReader(path) as video:
        return video.zero_sec


def click_sec(wave: np.ndarray) -> float:
    return float(np.flatnonzero(np.abs(wave) > 0.3)[0]) / RATE


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".mov", ".ts", ".avi"])
@pytest.mark.parametrize("audio_start_sec", [0.0, 0.476])
def test_click_stays_at_its_time(ending: str, audio_start_sec: float, tmp_path: Path, make_clip: MakeClip) -> None:
    if ending == ".avi" and audio_start_sec:
        pytest.skip("avi has no start times")
    path = make_clip(tmp_path / f"clip{ending}", 2.4, event_sec=1.0, audio_start_sec=audio_start_sec)
    wave = read_waveform(path, first_frame_sec(path), 0.0, 2.4, RATE)
    assert wave.shape == (38400,) and wave.dtype == np.float32
    assert click_sec(wave) == pytest.approx(1.0, abs=0.02)
    if audio_start_sec:
        assert np.abs(wave[:int(0.42 * RATE)]).max() < 1e-3


@pytest.mark.parametrize("start_sec", [0.3, 2.5, 9.0])
def test_click_stays_at_its_time_after_a_seek(start_sec: float, tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "long.mp4", 14.0, event_sec=start_sec + 1.25)
    wave = read_waveform(path, first_frame_sec(path), start_sec, 2.0, RATE)
    assert click_sec(wave) == pytest.approx(1.25, abs=0.02)


def test_cut_pieces_join_to_the_whole(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "long.mp4", 9.0, event_sec=6.5)
    zero = first_frame_sec(path)
    whole, part = read_waveform(path, zero, 0.0, 9.0, RATE), read_waveform(path, zero, 5.0, 3.0, RATE)
    inside = slice(100, 3 * RATE - 100)  # the resampler's filter has nothing beyond the cut
    assert np.abs(part[inside] - whole[5 * RATE:8 * RATE][inside]).max() < 2e-3


def test_tone_keeps_its_pitch_and_level_at_the_new_rate(tmp_path: Path, make_clip: MakeClip) -> None:
    path = make_clip(tmp_path / "tone.mp4", 2.0, tone_hz=1000, level=0.2, event_sec=9.0, rate_hz=48000)
    wave = read_waveform(path, 0.0, 0.5, 1.0, RATE)
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(RATE)))
    assert spectrum.argmax() == 1000
    assert np.sqrt((wave**2).mean()) == pytest.approx(0.2 / np.sqrt(2), rel=0.03)


def test_only_what_exceeds_full_scale_is_scaled() -> None:
    quiet, loud = np.array([0.5, -1.0, 0.25], np.float32), np.array([0.5, -1.78, 0.89], np.float32)
    wave, gain = to_int16(quiet)
    assert gain == 1.0 and wave.tolist() == [16384, -32768, 8192]
    wave, gain = to_int16(loud)
    assert gain == pytest.approx(1 / 1.78) and wave[1] == -32768 and wave[2] == pytest.approx(16384, abs=1)


def test_edit_list_does_not_part_sound_and_picture(bad_clips: Path) -> None:
    plain, edited = bad_clips / "good_reference.mp4", bad_clips / "edit_list_start.mp4"
    for path in (plain, edited):
        assert np.abs(read_waveform(path, first_frame_sec(path), 0.0, 2.4, RATE)[RATE // 10:]).max() > 0.01
