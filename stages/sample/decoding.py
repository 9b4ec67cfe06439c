"""From latents to what a person sees and hears: signal decoder, KL-VAE, audio image, vocoder."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from pipeline.seeds import derive_seed
from stages.audio_images import Vocoder, gray_from_rgb
from stages.autoencoder import Autoencoder
from stages.klvae import KLVAE
from stages.klvae.images import to_uint8
from stages.sample.shown import Shown


class Decoder:
    """The whole way back, with every part of it loaded."""

    def __init__(self, autoencoder: Autoencoder, klvae: KLVAE, vocoder: Vocoder, mel_size: tuple[int, int]) -> None:
        """mel_size: [n_mels, columns] of the gray mel image."""
        self.autoencoder, self.klvae, self.vocoder, self.mel_size = autoencoder, klvae, vocoder, mel_size

    def decode(self, audio: Tensor, video: Tensor, seeds: list[int]) -> Iterator[Shown]:
        """Samples of latents z_a, z_v [b, c, h, w] in the autoencoder's units; one seed a sample."""
        for frames, gray in self.images(audio, video, seeds):
            yield Shown(frames, self.vocoder.waveform(gray), gray)

    @torch.no_grad()
    def images(self, audio: Tensor, video: Tensor, seeds: list[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The same before it is heard: frames uint8 [F, H, W, 3] and the gray mel image uint8 [n_mels, columns]."""
        noise_seeds = [derive_seed(seed, "decode") for seed in seeds]
        for one_audio, frames in zip(*self.autoencoder.decode(audio, video, seeds=noise_seeds), strict=True):
            # One sample at a time: the KL-VAE's activations at full size are the largest of the whole way.
            images = to_uint8(self.klvae.decode(torch.cat([frames, one_audio[None]]))).cpu().numpy()  # [F + 1, H, W, 3]
            yield images[:-1], gray_from_rgb(images[-1], self.mel_size)
