"""python -m stages.report"""

from pathlib import Path

from pipeline.stage import stage_main
from stages.report import run

if __name__ == "__main__":
    stage_main("report", lambda params: run(
        clip=params.clip, audio=params.audio, report=params.report, inventory=Path("data/inventory"), decode=Path("data/decode"),
        local_features=Path("data/local_features"), audio_images=Path("data/audio_images"), klvae=Path("data/klvae"),
        autoencoder=Path("data/autoencoder"), dit=Path("data/dit"), sample=Path("data/sample"), evaluate=Path("data/evaluate"),
        out=Path("data/report")))
