"""From a gray mel image back to a waveform: Griffin-Lim without weights, or the pretrained SpeechT5 HiFi-GAN.

`microsoft/speecht5_hifigan` is MIT-licensed; it is fetched by name, never bundled.
"""

import numpy as np
import torch
import torchaudio
from torch import Tensor

from pipeline.errors import ParamsError
from pipeline.params import AudioParams, VocoderParams
from pipeline.pretrained import resolve
from stages.audio_images.image import mel_from_gray
from stages.audio_images.mel import magnitude_from_mel

HIFIGAN_AUDIO = AudioParams(sample_rate_hz=16000, n_fft=1024, win_length=1024, hop_length=256, n_mels=80, f_min_hz=80.0, f_max_hz=7600.0)
"""The mel settings that SpeechT5's HiFi-GAN was trained on."""


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
            WeightsError: its weights are not at hand.
        """
        self.audio, self.params, self.num_samples = audio, vocoder, num_samples
        self.db_floor, self.db_ceiling = db_floor, db_ceiling
        self.device = device or torch.device("cpu")
        self.hifigan = self._load_hifigan() if vocoder.kind == "speecht5_hifigan" else None

    def waveform(self, gray: np.ndarray) -> np.ndarray:
        """int16 [S] of a gray mel image uint8 [m, n]; gray 0 everywhere is silence."""
        mel_db = mel_from_gray(gray, self.db_floor, self.db_ceiling)
        wave = self._griffin_lim(mel_db) if self.hifigan is None else self._hifigan(mel_db)
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
    def _hifigan(self, mel_db: Tensor) -> Tensor:
        assert self.hifigan is not None
        log10_mel = (mel_db / 20).T.to(self.device)  # (n, m): the model takes log10 of the magnitude's mel
        return self.hifigan(log10_mel).float().cpu()

    def _load_hifigan(self) -> torch.nn.Module:
        if self.audio != HIFIGAN_AUDIO:
            raise ParamsError(f"params.yaml: audio is {self.audio}, expected {HIFIGAN_AUDIO}, as vocoder.kind is speecht5_hifigan; "
                              "take those or vocoder.kind: griffin_lim")
        from transformers import SpeechT5HifiGan

        return SpeechT5HifiGan.from_pretrained(resolve(self.params.pretrained, "vocoder.pretrained")).eval().to(self.device)
