"""From frames and sound to the latents that a condition is: the way that training data went, with the posteriors' means."""

import numpy as np
import torch
from torch import Tensor

from stages.audio_images import rgb_from_gray
from stages.autoencoder import Autoencoder
from stages.klvae import KLVAE
from stages.klvae.images import to_model_range


class Encoder:
    """KL-VAE and the autoencoder's encoders."""

    def __init__(self, autoencoder: Autoencoder, klvae: KLVAE, size_px: int) -> None:
        """size_px: side of frames and audio images."""
        self.autoencoder, self.klvae, self.size_px = autoencoder, klvae, size_px

    def video(self, frames: np.ndarray) -> Tensor:
        """z_v [c, h, w] of a window's frames uint8 [F, H, W, 3]."""
        latents = self._kl_latents(frames)
        _, video = self.autoencoder.encode(latents[None], torch.zeros_like(latents[:1]))
        return video[0].chunk(2)[0]

    def audio(self, gray: np.ndarray) -> Tensor:
        """z_a [c, h, w] of a window's gray mel image uint8 [n_mels, columns]."""
        latents = self._kl_latents(rgb_from_gray(gray, self.size_px)[None])
        audio, _ = self.autoencoder.encode(latents.expand(self.autoencoder.shapes.num_frames, -1, -1, -1)[None] * 0, latents)
        return audio[0].chunk(2)[0]

    @torch.no_grad()
    def _kl_latents(self, images: np.ndarray) -> Tensor:
        """[n, c, h, w] of uint8 [n, H, W, 3]; one image at a time, which at full size is enough for any processor."""
        ready = to_model_range(torch.from_numpy(np.array(images))).to(self.autoencoder.device)
        return torch.cat([self.klvae.encode(image[None]).chunk(2, dim=1)[0] for image in ready])
