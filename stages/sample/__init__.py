"""sample: every task of the joint DiT (tasks.py), decoded to mp4 with sound (paper 3.3, 4.1, 4.4).

Comes in   data/dit, data/autoencoder, data/klvae    the networks
           data/latents                              held-out windows: conditions of a2v and v2a, and what is reconstructed
           data/decode, data/audio_images            the real frames, sound and mel of those windows
Goes out   data/sample/mp4/<sample_id>.mp4           H.264 and AAC; small frames enlarged, pixel by pixel
           data/sample/lossless/<sample_id>.npz      frames, waveform and mel image
           data/sample/samples.parquet               task, seed, class, condition, sampler of each

An a2v sample sounds as its condition really does, a v2a sample shows its condition's real frames; only the other half
is generated. Samples of task "reconstruction" are held-out windows through the autoencoder alone.

Here too, and no part of the stage's run: `mmldm generate` (generate.py) and `mmldm export` (export.py).
"""

from stages.sample.run import run

__all__ = ["run"]
