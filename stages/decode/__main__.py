"""python -m stages.decode: data.raw, data/inventory -> data/decode."""

from pathlib import Path

from pipeline.params import Params
from pipeline.stage import Summary, stage_main
from pipeline.workers import Workers
from stages.decode.decode import run


def main(params: Params) -> Summary:
    return run(
        clip=params.clip, sample_rate_hz=params.audio.sample_rate_hz, decode=params.decode,
        workers=Workers.of(params.compute), source=Path(params.data.raw), inventory=Path("data/inventory"), out=Path("data/decode"),
    )


if __name__ == "__main__":
    stage_main("decode", main)
