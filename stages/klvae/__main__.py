"""python -m stages.klvae"""

from pathlib import Path

from pipeline.stage import stage_main
from stages.klvae import run

if __name__ == "__main__":
    stage_main("klvae", lambda params: run(
        seed=params.seed, compute=params.compute, clip=params.clip, kl_latent=params.kl_latent, klvae=params.klvae,
        decode=Path("data/decode"), audio_images=Path("data/audio_images"), out=Path("data/klvae"),
        warm_start=params.warm_start.klvae), shared=True)
