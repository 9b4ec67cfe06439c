"""latents: the posterior of z_a and z_v of every window, cached for the diffusion transformer (paper 3.2).

Comes in   data/encode, data/autoencoder
Goes out   data/latents/*.tar        per window: audio.npy, video.npy float16 (mean, then log-variance), meta.json
           data/latents/statistics.json   per-channel mean and standard deviation over the training windows' draws
"""

from stages.latents.cache import run

__all__ = ["run"]
