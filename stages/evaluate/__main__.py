"""python -m stages.evaluate"""

from pathlib import Path

from pipeline.stage import stage_main
from stages.evaluate import run

if __name__ == "__main__":
    stage_main("evaluate", lambda params: run(
        seed=params.seed, clip=params.clip, audio=params.audio, compute=params.compute, evaluate=params.evaluate,
        decode=Path("data/decode"), local_features=Path("data/local_features"), audio_images=Path("data/audio_images"),
        sample=Path("data/sample"), demo_data=Path("data/demo_data"), inventory=Path("data/inventory"),
        out=Path("data/evaluate")))
