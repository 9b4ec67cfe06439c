"""latents: the posterior of z_a and z_v of every window, cached for the diffusion transformer (paper 3.2); captions likewise.

Comes in   data/encode, data/autoencoder
           data/inventory               captions, where `latents.text_encoder` names an encoder
Goes out   data/latents/*.tar        per window: audio.npy, video.npy float16 (mean, then log-variance), meta.json
           data/latents/statistics.json   per-channel mean and standard deviation over the training windows' draws
           data/latents/captions.*      the embedding of every distinct caption (pipeline/contracts/captions.py)
"""

from stages.latents.cache import run
from stages.latents.text import TextEncoder, load_text_encoder

__all__ = ["TextEncoder", "load_text_encoder", "run"]
