"""From a gray mel image back to a waveform: Griffin-Lim without weights, or the pretrained SpeechT5 HiFi-GAN.

`microsoft/speecht5_hifigan` is MIT-licensed; it is fetched by name, never bundled.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torchaudio
from torch import Tensor

from pipeline.params import AudioParams, VocoderParams
from stages.audio_images.hifigan import load_hifigan
from stages.audio_images.image import mel_from_gray
from stages.audio_images.mel import magnitude_from_mel

GPU_BATCH = 32
"""Windows that the pretrained vocoder takes at a time on a GPU."""


class Vocoder:
    """Turns gray mel images into sound; `vocoder.kind` says how."""

    def __init__(self, audio: AudioParams, vocoder: VocoderParams, *, num_samples: int, db_floor: float, db_ceiling: float,
                 device: torch.device | None = None) -> None:
        """Args:
            audio: mel settings of the images.
            vocoder: which way back, and its weights.
            num_samples: length S of every waveform.
            db_floor, db_ceiling: decibels of gray 0 and 255.
            device: where the pretrained vocoder runs; Griffin-Lim runs on the CPU.

        Raises:
            ParamsError: the pretrained vocoder cannot invert these mel settings.
            WeightsError: its weights are not at hand, damaged, or of another network.
        """
        self.audio, self.params, self.num_samples = audio, vocoder, num_samples
        self.db_floor, self.db_ceiling = db_floor, db_ceiling
        self.device = device or torch.device("cpu")
        self.hifigan = load_hifigan(audio, vocoder.pretrained).to(self.device) if vocoder.kind == "speecht5_hifigan" else None

    def waveform(self, gray: np.ndarray) -> np.ndarray:
        """int16 [S] of a gray mel image uint8 [m, n]; gray 0 everywhere is silence."""
        return self.waveforms([gray])[0]

    def waveforms(self, grays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """`waveform` of each; on a GPU the pretrained vocoder takes them together.

        On a CPU each is worked on alone, so that its bytes do not depend on what else is asked for.
        """
        mels = [mel_from_gray(gray, self.db_floor, self.db_ceiling) for gray in grays]
        if self.hifigan is None:
            waves = [self._griffin_lim(mel) for mel in mels]
        else:
            size = 1 if self.device.type == "cpu" else GPU_BATCH
            waves = [wave for first in range(0, len(mels), size) for wave in self._hifigan(torch.stack(mels[first:first + size]))]
        return [self._int16(wave * bool(gray.any())) for wave, gray in zip(waves, grays, strict=True)]

    def _int16(self, wave: Tensor) -> np.ndarray:
        wave = torch.nn.functional.pad(wave, (0, max(0, self.num_samples - len(wave))))[:self.num_samples]
        wave = wave / wave.abs().max().clamp(min=1.0)
        return (wave * 32767).round().to(torch.int16).numpy()

    def _griffin_lim(self, mel_db: Tensor) -> Tensor:
        # A gray of 0 says "at or under the floor": taken as nothing, or the floor's noise would be heard in silence.
        mel = torch.where(mel_db > self.db_floor, 10 ** (mel_db / 20), 0.0)
        if not bool(mel.any()):
            return torch.zeros(self.num_samples)
        magnitude = magnitude_from_mel(mel, self.audio)
        magnitude = torch.nn.functional.pad(magnitude[None], (0, 1), mode="replicate")[0]  # the centred transform has one column more
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # the first phases; one seed for all, so that equal images sound equal
            return torchaudio.functional.griffinlim(
                magnitude, window=torch.hann_window(self.audio.win_length), n_fft=self.audio.n_fft, hop_length=self.audio.hop_length,
                win_length=self.audio.win_length, power=1.0, n_iter=self.params.iterations, momentum=0.99,
                length=self.num_samples, rand_init=True)

    @torch.no_grad()
    def _hifigan(self, mels_db: Tensor) -> Tensor:
        """[b, samples] of [b, m, n]."""
        assert self.hifigan is not None
        log10_mels = (mels_db / 20).transpose(1, 2).to(self.device)                     # (b, n, m)
        return self.hifigan(log10_mels).float().cpu()
