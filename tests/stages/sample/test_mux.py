"""The mp4: same bytes every time, sound where the picture is.

    pytest tests/stages/sample/test_mux.py
"""

from pathlib import Path

import av
import numpy as np
import pytest

from stages.sample.mux import display_scale, write_mp4

RATE, FPS = 16_000, 10


def flash_and_click(frame: int, num_frames: int = 16, size: tuple[int, int] = (64, 64)) -> tuple[np.ndarray, np.ndarray]:
    """A white frame, and a click where it begins."""
    frames = np.zeros((num_frames, *size, 3), np.uint8)
    frames[frame] = 255
    waveform = np.zeros(num_frames * RATE // FPS, np.int16)
    first = frame * RATE // FPS
    waveform[first : first + 16] = 30_000
    return frames, waveform


def read(path: Path) -> tuple[list[float], np.ndarray, np.ndarray]:
    """Times of the frames, frames, waveform in [-1, 1]; each stream as a player shows it."""
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
    with av.open(str(path)) as container:
        sound = list(container.decode(audio=0))
    assert sound[0].pts == 0
    shown = np.stack([frame.to_ndarray(format="rgb24") for frame in decoded])
    return [float(frame.time) for frame in decoded], shown, np.concatenate([piece.to_ndarray()[0] for piece in sound])


@pytest.mark.parametrize("frame", [0, 5, 15])
def test_click_is_heard_when_the_flash_is_seen(tmp_path: Path, frame: int) -> None:
    frames, waveform = flash_and_click(frame)
    write_mp4(tmp_path / "a.mp4", frames, FPS, waveform, RATE, scale=4)
    times, shown, sound = read(tmp_path / "a.mp4")
    assert times == pytest.approx([i / FPS for i in range(16)], abs=1e-3)
    assert shown.reshape(16, -1).mean(axis=1).argmax() == frame
    assert np.abs(sound).argmax() / RATE == pytest.approx(frame / FPS, abs=0.005)
    assert len(sound) == len(waveform)


def test_same_input_same_bytes(tmp_path: Path) -> None:
    frames, waveform = flash_and_click(3)
    frames[:] += np.random.default_rng(0).integers(0, 50, frames.shape, dtype=np.uint8)
    for name in ("a.mp4", "b.mp4"):
        write_mp4(tmp_path / name, frames, FPS, waveform, RATE)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]  # nothing temporary is left


def test_colours_and_places_survive(tmp_path: Path) -> None:
    frames, waveform = flash_and_click(0, num_frames=4, size=(32, 48))
    frames[:, :16, :24] = (200, 40, 40)
    frames[:, 16:, 24:] = (40, 60, 200)
    write_mp4(tmp_path / "a.mp4", frames, FPS, waveform, RATE, scale=2)
    shown = read(tmp_path / "a.mp4")[1]
    assert shown.shape == (4, 64, 96, 3)
    assert np.abs(shown[2, 16, 24].astype(int) - (200, 40, 40)).max() < 12
    assert np.abs(shown[2, 48, 72].astype(int) - (40, 60, 200)).max() < 12


def test_odd_sides_and_other_rates_are_written_whole(tmp_path: Path) -> None:
    frames, _ = flash_and_click(1, num_frames=5, size=(65, 33))
    write_mp4(tmp_path / "a.mp4", frames, 4, np.zeros(8_001, np.int16), 22_050)
    times, shown, sound = read(tmp_path / "a.mp4")
    assert shown.shape == (5, 66, 34, 3) and times[-1] == pytest.approx(1.0, abs=1e-3)
    assert 8_001 <= len(sound) < 8_001 + 1024


def test_small_frames_are_shown_larger() -> None:
    assert display_scale(np.zeros((1, 64, 64, 3), np.uint8)) == 4
    assert display_scale(np.zeros((1, 256, 256, 3), np.uint8)) == 1
