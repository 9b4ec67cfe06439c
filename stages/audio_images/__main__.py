"""python -m stages.audio_images"""

from pathlib import Path

from pipeline.stage import stage_main
from pipeline.workers import Workers
from stages.audio_images import run

if __name__ == "__main__":
    stage_main("audio_images", lambda params: run(
        seed=params.seed, clip=params.clip, audio=params.audio, vocoder=params.vocoder, audio_images=params.audio_images,
        workers=Workers.of(params.compute), decode=Path("data/decode"), out=Path("data/audio_images")))
