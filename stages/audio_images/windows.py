"""The audio images of one clip: what a worker does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipeline.contracts.audio_image_shards import audio_image_sample
from pipeline.contracts.decoded import float_waveform
from pipeline.contracts.windows import first_sample, window_samples
from pipeline.params import AudioImagesParams, AudioParams, ClipParams
from stages.audio_images.image import gray_from_mel
from stages.audio_images.mel import mel_db, window_mels_db

if TYPE_CHECKING:
    from pipeline.contracts.shard_writer import Fields


@dataclass(frozen=True, slots=True)
class ClipSound:
    """The sound of a clip, and which of its windows become images."""

    clip_id: str
    waveform: np.ndarray
    """int16 [S]."""
    window_starts: list[int]
    """First frames; at least one."""
    told: dict[str, object]
    """class_id, split."""
    clip: ClipParams
    audio: AudioParams
    audio_images: AudioImagesParams


def clip_samples(sound: ClipSound) -> "list[tuple[str, Fields]]":
    """(key, fields) of every window of a clip, as the shards hold them; depends on nothing else."""
    torch.set_num_threads(1)  # workers share the cores; the bytes must not depend on how
    images = sound.audio_images
    grays = clip_images(float_waveform(sound.waveform), sound.window_starts, sound.clip, sound.audio, images)
    return [audio_image_sample(gray, {
        "clip_id": sound.clip_id, "start_frame": start, **sound.told, "db_floor": images.db_floor, "db_ceiling": images.db_ceiling,
        "mel_size": list(gray.shape)}) for start, gray in zip(sound.window_starts, grays, strict=True)]


def clip_images(
    waveform: np.ndarray, starts: Sequence[int], clip: ClipParams, audio: AudioParams, audio_images: AudioImagesParams,
) -> np.ndarray:
    """Gray mel images uint8 [w, n_mels, columns] of the windows of a clip's waveform float32 [S] in [-1, 1], by their first frames."""
    num_samples, first = window_samples(clip, audio), [first_sample(start, clip, audio) for start in starts]
    # Zeros after the end of a clip that is a rounding short, as in `window_waveform`.
    padded = np.pad(waveform, (0, max(max(first) + num_samples - len(waveform), 0)))
    mels = window_mels_db(torch.from_numpy(padded), torch.tensor(first), num_samples, audio)
    return gray_from_mel(mels, audio_images.db_floor, audio_images.db_ceiling)


def audio_image(waveform: torch.Tensor, audio: AudioParams, audio_images: AudioImagesParams) -> np.ndarray:
    """Gray mel image uint8 [n_mels, columns] of a window's waveform float32 [s] in [-1, 1]."""
    return gray_from_mel(mel_db(waveform, audio), audio_images.db_floor, audio_images.db_ceiling)
