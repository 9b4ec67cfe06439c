"""python -m stages.dit"""

from pathlib import Path

from pipeline.stage import stage_main
from stages.dit import run

if __name__ == "__main__":
    stage_main("dit", lambda params: run(
        seed=params.seed, compute=params.compute, clip=params.clip, dit=params.dit, latents=Path("data/latents"),
        out=Path("data/dit"), warm_start=params.warm_start.dit), shared=True)
