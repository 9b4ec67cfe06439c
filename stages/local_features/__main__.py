"""python -m stages.local_features"""

from pathlib import Path

from pipeline.stage import stage_main
from stages.local_features import run

if __name__ == "__main__":
    stage_main("local_features", lambda params: run(
        seed=params.seed, clip=params.clip, audio=params.audio, compute=params.compute, local_features=params.local_features,
        decode=Path("data/decode"), inventory=Path("data/inventory"), out=Path("data/local_features")))
