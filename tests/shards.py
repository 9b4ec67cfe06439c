"""Shards for tests, without a stage that makes them."""

from collections.abc import Iterable
from typing import Any

from pipeline.contracts.outputs import Work
from pipeline.contracts.recipe import address
from pipeline.contracts.shard_writer import Unit, write_units
from pipeline.contracts.shards import META


def write_shards(work: Work, samples: Iterable[tuple[str, dict[str, Any]]], shard_bytes: int = 10**8) -> None:
    """Write ready (key, fields) into `work`, each sample a unit of its own; the split stands in its meta.json."""
    units = [Unit(key, fields[META]["split"], 1000, address(key), {}, (key, fields)) for key, fields in samples]
    write_units(work, units, shard_bytes, lambda tasks: ([task] for task in tasks))
