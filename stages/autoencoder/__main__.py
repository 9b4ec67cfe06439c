"""python -m stages.autoencoder"""

from pathlib import Path

from pipeline.stage import stage_main
from stages.autoencoder import run

if __name__ == "__main__":
    stage_main("autoencoder", lambda params: run(
        seed=params.seed, compute=params.compute, clip=params.clip, kl_latent=params.kl_latent, autoencoder=params.autoencoder,
        encode=Path("data/encode"), klvae=Path("data/klvae"), out=Path("data/autoencoder"),
        warm_start=params.warm_start.autoencoder), shared=True)
