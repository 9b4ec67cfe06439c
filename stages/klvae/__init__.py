"""klvae: the image KL-VAE of frames and audio images (paper 3.1, 4.6): trained here, pretrained, or its decoder finetuned here.

Comes in   data/decode, data/audio_images   frames uint8 and gray mel images of the training clips
Goes out   data/klvae/                      diffusers `AutoencoderKL` or `AutoencoderTiny` (config.json, safetensors), metrics.json,
                                            curves.csv, reconstructions.png (held-out images, real and decoded)

Three ways in, by `klvae.mode`:
  scratch            an `AutoencoderKL` of the sizes in params, trained whole; its latent is scaled to deviation 1
  pretrained         by hub id with a pinned revision, or a local folder; taken as it is, with its own scale
  finetune_decoder   the same, and then its decoder trained on frames and audio images in equal parts, the encoder fixed (the paper)

The losses are those of latent diffusion's autoencoders: L1, LPIPS when the weights of its backbone are at hand (`klvae.lpips`),
a patch discriminator from a start step on, the KL term; the demo has the squared error instead of the second and third.

`load(path)` gives the only owner of the latent's scale: `encode` returns moments of the SCALED latent, `decode` takes
scaled latents. All later stages go through it.
"""

from stages.klvae.model import KLVAE, load, open_folder
from stages.klvae.run import run

__all__ = ["KLVAE", "load", "open_folder", "run"]
