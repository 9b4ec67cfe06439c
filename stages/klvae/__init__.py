"""klvae: the image KL-VAE of frames and audio images (paper 3.1, 4.6): trained here from scratch, or pretrained.

Comes in   data/decode, data/audio_images   frames uint8 and gray mel images of the training clips
Goes out   data/klvae/                      diffusers `AutoencoderKL` (config.json, safetensors), metrics.json, curves.csv

Left out so far: finetuning the decoder of a pretrained KL-VAE (paper 4.6); with mode `pretrained` its `train` is not used.

`load(path)` gives the only owner of the latent's scale: `encode` returns moments of the SCALED latent, `decode` takes
scaled latents. All later stages go through it.
"""

from stages.klvae.model import KLVAE, load
from stages.klvae.run import run

__all__ = ["KLVAE", "load", "run"]
