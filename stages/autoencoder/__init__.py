"""autoencoder: the hierarchical multi-modal autoencoder, z_a, z_v and the semantic space above them (paper 3.1).

Comes in   data/encode/*.tar    KL-VAE moments of frames and audio images
           data/klvae/          decodes latents to the images that the discriminator judges
Goes out   data/autoencoder/    autoencoder.safetensors, config.json, metrics.json, curves.csv, train.jsonl, reconstructions.png
                                (held-out sounds and frames through the KL-VAE alone, and through both autoencoders)

| paper | here |
|---|---|
| z_a, z_v | audio and video latents: `encoders.py`, posteriors of `Autoencoder.encode` |
| s_a, s_v | semantic features: `projectors.py`, on detached latents |
| f_cl, f_co | `heads.py` |
| signal decoder | `signal_decoder.py`, steered by `conditions.py`; optionally around the regression decode of `coarse.py` |
| D | `discriminator.py` |
| sizes of all of them | `size.py` |
| Eq. (1) to (3) | `losses.py`, summed in `objectives.py` |
"""

from stages.autoencoder.model import Autoencoder, load, open_folder
from stages.autoencoder.train import run

__all__ = ["Autoencoder", "load", "open_folder", "run"]
