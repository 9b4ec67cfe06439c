"""audio_images: waveform windows -> mel -> gray audio images, and the way back (paper 3.1).

Comes in   data/decode/*.tar         waveform int16 [S], audio.sample_rate_hz
Goes out   data/audio_images/*.tar   per window a gray PNG uint8 [n_mels, columns]; metrics.json: what the round trip loses

The RGB image that the KL-VAE sees is made from the gray one by `image.rgb_from_gray` where it is needed: resized on the
fly it costs less than reading it back from disk.
"""

from stages.audio_images.image import gray_from_rgb, rgb_from_gray
from stages.audio_images.run import run
from stages.audio_images.vocoder import Vocoder

__all__ = ["Vocoder", "gray_from_rgb", "rgb_from_gray", "run"]
