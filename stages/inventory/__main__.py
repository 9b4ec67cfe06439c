"""python -m stages.inventory: data.raw -> data/inventory."""

from pathlib import Path

from pipeline.params import Params
from pipeline.stage import Summary, stage_main
from pipeline.workers import Workers
from stages.inventory.inventory import run


def main(params: Params) -> Summary:
    return run(
        seed=params.seed, clip=params.clip, inventory=params.inventory,
        workers=Workers.of(params.compute), source=Path(params.data.raw), out=Path("data/inventory"),
    )


if __name__ == "__main__":
    stage_main("inventory", main)
