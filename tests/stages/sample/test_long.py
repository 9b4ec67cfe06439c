"""Windows in a row: their sound, their seams.

    pytest tests/stages/sample/test_long.py
"""

import numpy as np
import pytest
import torch

from pipeline.params import AudioParams, PretrainedParams, VocoderParams
from stages.audio_images import Vocoder
from stages.audio_images.image import gray_from_mel
from stages.audio_images.mel import mel_db
from stages.sample.long import OVERLAP_COLUMNS, ContinuousSound
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
