"""Cached posteriors as batches: which windows a step sees is a function of the seed and the step alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.contracts.captions import Captions, read_captions
from pipeline.contracts.latents import read_latents
from pipeline.contracts.shards import ShardReader
from pipeline.errors import DataError
from pipeline.seeds import derive_seed
from pipeline.shared_batch import own_noise

CACHE_BYTES = 4 * 2**30
"""A split up to this size is kept in memory."""


@dataclass(slots=True)
class Posteriors:
    """The windows of a split; `batch` stacks some of them."""

    windows: list[dict[str, Any]] | ShardReader
    keys: list[str]
    """Names of the windows (`window_key`)."""
    captions: Captions | None = None
    """Of their clips, for a network that reads them."""

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """"audio" float16 [b, 2c, h, w], "video" likewise (mean, then log-variance), "class_id" int64 [b]; with captions also "text",
        float16 [b, tokens, width]."""
        rows = [self.windows[i] for i in indices]
        batch = {"audio": torch.from_numpy(np.stack([row["audio"] for row in rows])),
                 "video": torch.from_numpy(np.stack([row["video"] for row in rows])),
                 "class_id": torch.tensor([row["meta"]["class_id"] for row in rows])}
        if self.captions is not None:
            batch["text"] = torch.from_numpy(self.captions.embedded([str(row["meta"]["clip_id"]) for row in rows]))
        return batch


def open_posteriors(folder: Path, split: str, *, captioned: bool = False) -> Posteriors:
    """The windows of a split, in memory when small; with their captions if `captioned`.

    Raises:
        DataError: the split is empty.
    """
    reader = read_latents(folder, split)
    if len(reader) == 0:
        raise DataError(f"{folder} has no windows of the {split} split, 1 or more needed; "
                        "add clips or change inventory.test_share, then run: dvc repro")
    first = reader[0]
    small = len(reader) * (first["audio"].nbytes + first["video"].nbytes) <= CACHE_BYTES
    captions = read_captions(folder) if captioned else None
    return Posteriors([reader[i] for i in range(len(reader))] if small else reader, reader.keys, captions)


def batch_indices(num_windows: int, batch_size: int, step: int, seed: int) -> list[int]:
    """The windows of a step: every window once before any comes again, each round in its own order."""
    found: list[int] = []
    position = step * batch_size
    while len(found) < batch_size:
        turn, start = divmod(position + len(found), num_windows)
        order = np.random.default_rng(derive_seed(seed, "dit", "order", turn)).permutation(num_windows)
        found += order[start : start + batch_size - len(found)].tolist()
    return found


def evenly_spaced(num_windows: int, most: int) -> list[int]:
    """At most `most` indices, spread over all windows."""
    return np.linspace(0, num_windows - 1, min(most, num_windows)).round().astype(int).tolist()


def draw(moments: Tensor) -> Tensor:
    """A draw from the posterior [b, c, h, w], float32, of its moments [b, 2c, h, w]."""
    mean, log_variance = moments.float().chunk(2, dim=1)
    return mean + torch.exp(0.5 * log_variance) * own_noise(mean)


def mean(moments: Tensor) -> Tensor:
    """The posterior's mean [b, c, h, w], float32."""
    return moments.float().chunk(2, dim=1)[0]
