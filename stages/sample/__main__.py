"""python -m stages.sample"""

from pathlib import Path

from pipeline.stage import stage_main
from stages.sample import run

if __name__ == "__main__":
    stage_main("sample", lambda params: run(
        seed=params.seed, compute=params.compute, clip=params.clip, audio=params.audio, vocoder=params.vocoder, sample=params.sample,
        dit=Path("data/dit"), latents=Path("data/latents"), autoencoder=Path("data/autoencoder"), klvae=Path("data/klvae"),
        decode=Path("data/decode"), audio_images=Path("data/audio_images"), out=Path("data/sample")))
