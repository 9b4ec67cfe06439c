"""encode: every frame and every audio image to the KL-VAE's moments, once (paper 3.1).

Comes in   data/decode, data/audio_images, data/klvae
Goes out   data/encode/*.tar   per clip: video.npy float16 [N, 2c, h, w], audio.npy float16 [W, 2c, h, w]
                               with encode.flips also video_flipped.npy, of the mirrored frames
"""

from stages.encode.run import run

__all__ = ["run"]
