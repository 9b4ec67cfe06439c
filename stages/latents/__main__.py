"""python -m stages.latents"""

from pathlib import Path

from pipeline.stage import stage_main
from stages.latents import run

if __name__ == "__main__":
    stage_main("latents", lambda params: run(
        seed=params.seed, clip=params.clip, compute=params.compute, latents=params.latents, inventory=Path("data/inventory"),
        autoencoder=Path("data/autoencoder"), encode=Path("data/encode"), out=Path("data/latents")))
