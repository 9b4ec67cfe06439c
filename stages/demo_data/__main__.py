"""`python -m stages.demo_data`: params.yaml -> data/demo_data."""

from pathlib import Path

from pipeline.stage import stage_main
from stages.demo_data import run

if __name__ == "__main__":
    stage_main("demo_data", lambda params: run(seed=params.seed, data=params.data, demo_data=params.demo_data, out=Path("data/demo_data")))
