"""python -m stages.encode"""

from pathlib import Path

from pipeline.stage import stage_main
from stages.encode import run

if __name__ == "__main__":
    stage_main("encode", lambda params: run(
        compute=params.compute, clip=params.clip, encode=params.encode, decode=Path("data/decode"),
        audio_images=Path("data/audio_images"), klvae=Path("data/klvae"), out=Path("data/encode")))
