"""The audio images of one clip."""

from collections.abc import Sequence

import numpy as np
import torch

from pipeline.contracts.windows import window_waveform
from pipeline.params import AudioImagesParams, AudioParams, ClipParams
from stages.audio_images.image import gray_from_mel
from stages.audio_images.mel import mel_db


def clip_images(
    waveform: np.ndarray, starts: Sequence[int], clip: ClipParams, audio: AudioParams, audio_images: AudioImagesParams,
) -> list[np.ndarray]:
    """Gray mel images uint8 [n_mels, columns] of the windows of a clip's waveform float32 [S] in [-1, 1], by their first frames."""
    return [audio_image(torch.from_numpy(window_waveform(waveform, start, clip, audio)), audio, audio_images) for start in starts]


def audio_image(waveform: torch.Tensor, audio: AudioParams, audio_images: AudioImagesParams) -> np.ndarray:
    """Gray mel image uint8 [n_mels, columns] of a window's waveform float32 [s] in [-1, 1]."""
    return gray_from_mel(mel_db(waveform, audio), audio_images.db_floor, audio_images.db_ceiling)
