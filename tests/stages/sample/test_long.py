"""Windows in a row: their sound, their seams, their memory.

    pytest tests/stages/sample/test_long.py
"""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.contracts.samples import LosslessWriter, read_lossless
from pipeline.params import AudioParams, ClipParams, PretrainedParams, VocoderParams
from stages.audio_images import Vocoder
from stages.audio_images.image import gray_from_mel
from stages.audio_images.mel import mel_db
from stages.sample.long import OVERLAP_COLUMNS, ContinuousSound, LongWriter
from stages.sample.seams import at_joins_and_inside, continuation_seams, frame_steps, mel_steps

AUDIO = AudioParams(sample_rate_hz=16000, n_fft=1024, win_length=1024, hop_length=256, n_mels=80, f_min_hz=80.0, f_max_hz=7600.0)
WINDOW = 25600


@pytest.fixture(scope="module")
def vocoder() -> Vocoder:
    nothing = PretrainedParams(source=None, revision=None, subfolder=None, sha256=None)
    griffin_lim = VocoderParams(kind="griffin_lim", iterations=16, pretrained=nothing)
    return Vocoder(AUDIO, griffin_lim, num_samples=WINDOW, db_floor=-80, db_ceiling=10)


def test_the_sound_of_windows_in_a_row_has_no_click_where_they_meet(vocoder: Vocoder) -> None:
    tone = 0.3 * torch.sin(2 * torch.pi * 440 * torch.arange(2 * WINDOW) / 16000)
    grays = [gray_from_mel(mel_db(tone[first : first + WINDOW], AUDIO), -80, 10) for first in (0, WINDOW)]
    sound = ContinuousSound(vocoder)
    pieces = [*(sound.add(gray) for gray in grays), sound.finish()]
    assert [len(piece) for piece in pieces] == [WINDOW - OVERLAP_COLUMNS * 256, WINDOW, OVERLAP_COLUMNS * 256]
    joined = np.concatenate(pieces).astype(float)
    cut = np.concatenate([vocoder.waveform(gray) for gray in grays]).astype(float)

    def click(wave: np.ndarray) -> float:
        """What is above 2 kHz in 32 ms around the join, beside a tone of 440 Hz."""
        piece = wave[WINDOW - 256 : WINDOW + 256] * np.hanning(512)
        return float(np.abs(np.fft.rfft(piece))[64:].sum())

    assert click(joined) < 0.5 * click(cut)


def test_a_hundred_windows_take_the_memory_of_three(vocoder: Vocoder, tmp_path: Path) -> None:
    clip = ClipParams(frame_size_px=64, fps=10, num_frames=16, window_stride=1, fit="pad", max_sec=10.0)
    peaks = []
    for count in (3, 100):
        tracemalloc.start()
        with LongWriter(tmp_path / f"{count}.mp4", tmp_path / f"{count}.npz", count, vocoder, clip, AUDIO) as writer:
            for number in range(count):
                writer.add(np.full((16, 64, 64, 3), number, np.uint8), np.zeros((80, 100), np.uint8))  # silence costs no Griffin-Lim
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
    frames, waveform, gray = read_lossless(tmp_path / "100.npz")
    assert frames.shape == (1600, 64, 64, 3) and (frames[:, 0, 0, 0] == np.repeat(np.arange(100), 16)).all()
    assert waveform.shape == (100 * WINDOW,) and gray.shape == (80, 10000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["100.mp4", "100.npz", "3.mp4", "3.npz"]


def test_a_sidecar_written_in_pieces_is_the_whole_one(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    frames, gray = random.integers(0, 256, (6, 4, 4, 3), dtype=np.uint8), random.integers(0, 256, (5, 9), dtype=np.uint8)
    waveform = random.integers(-32768, 32768, 100).astype(np.int16)
    with LosslessWriter(tmp_path / "a.npz", 6) as writer:
        for part in range(3):
            writer.add(frames[2 * part : 2 * part + 2], waveform[33 * part : 33 * (part + 1)], gray[:, 3 * part : 3 * part + 3])
        writer.add(frames[:0], waveform[99:], gray[:, :0])
    assert all(np.array_equal(a, b) for a, b in zip(read_lossless(tmp_path / "a.npz"), (frames, waveform, gray), strict=True))


def test_steps_at_joins_are_told_from_those_inside() -> None:
    frames = np.zeros((9, 2, 2, 3), np.uint8)
    frames[3:6], frames[6:] = 51, 102  # three windows of three frames, each still
    joins, inside = at_joins_and_inside(frame_steps(frames), 3)
    assert joins.tolist() == pytest.approx([0.2, 0.2]) and not inside.any() and len(inside) == 6
    gray = np.repeat(np.array([[0, 0, 255, 255]], np.uint8), 2, axis=0)
    assert mel_steps(gray).tolist() == [0, 1, 0]


def test_the_seam_of_a_continuation_is_between_the_real_window_and_the_made_one() -> None:
    before = np.zeros((2, 2, 2, 3), np.uint8), np.zeros((2, 3), np.uint8)
    made = np.full((2, 2, 2, 3), 51, np.uint8), np.full((2, 3), 102, np.uint8)
    assert continuation_seams([(before, made)]) == {
        "frame_step_joins": 0.2, "frame_step_inside": 0.0, "mel_step_joins": 0.4, "mel_step_inside": 0.0}
