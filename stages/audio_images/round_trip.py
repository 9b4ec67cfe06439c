"""What each step of mel -> image -> sound loses, on some windows of the data set at hand."""

from collections.abc import Iterable

import numpy as np
import torch

from pipeline.contracts.decoded import float_waveform
from pipeline.contracts.windows import window_samples
from pipeline.params import AudioImagesParams, AudioParams, ClipParams, VocoderParams
from pipeline.seeds import derive_seed
from stages.audio_images.image import gray_from_mel, gray_from_rgb, mel_from_gray, rgb_from_gray
from stages.audio_images.mel import mel_db
from stages.audio_images.vocoder import Vocoder


def chosen_clips(clip_ids: Iterable[str], count: int, seed: int) -> list[str]:
    """Those on whose first window the losses are measured: a seeded choice that does not depend on the order."""
    return sorted(clip_ids, key=lambda clip_id: (derive_seed(seed, "audio_images", clip_id), clip_id))[:max(count, 1)]


def round_trip_losses(
    waveforms: Iterable[np.ndarray], clip: ClipParams, audio: AudioParams, vocoder: VocoderParams, images: AudioImagesParams,
) -> dict[str, float]:
    """Means over windows' waveforms float32 [s] in [-1, 1], six digits.

    `floored_share`, `clipped_share`: bins under db_floor (silence, mostly) and over db_ceiling. `*_db`: mean absolute error
    of the mel in dB over the bins above the floor, after 8 bits, after the resize to the frame's size and back, and of the
    mel of the sound made again.
    """
    back = Vocoder(audio, vocoder, num_samples=window_samples(clip, audio), db_floor=images.db_floor, db_ceiling=images.db_ceiling)
    rows = [_losses(torch.from_numpy(waveform), clip.frame_size_px, audio, images, back) for waveform in waveforms]
    return {"num_windows": len(rows), **{name: float(f"{np.mean([row[name] for row in rows]):.6g}") for name in rows[0]}}


def _losses(waveform: torch.Tensor, size_px: int, audio: AudioParams, images: AudioImagesParams, vocoder: Vocoder) -> dict[str, float]:
    floor, ceiling = images.db_floor, images.db_ceiling
    true = mel_db(waveform, audio)
    gray = gray_from_mel(true, floor, ceiling)
    resized = gray_from_rgb(rgb_from_gray(gray, size_px), gray.shape)
    sound = torch.from_numpy(float_waveform(vocoder.waveform(resized)))
    heard = true > floor

    def error(mel: torch.Tensor) -> float:
        difference = (mel.clamp(floor, ceiling) - true.clamp(floor, ceiling)).abs()[heard]
        return float(difference.mean()) if heard.any() else 0.0

    return {
        "floored_share": float((true < floor).float().mean()),
        "clipped_share": float((true > ceiling).float().mean()),
        "quantised_error_db": error(mel_from_gray(gray, floor, ceiling)),
        "resized_error_db": error(mel_from_gray(resized, floor, ceiling)),
        "resynthesised_error_db": error(mel_db(sound, audio)),
    }
