"""Windows of the encode stage's shards: KL-VAE moments by window, and the batch of a training step."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.contracts.moments import META, read_moments
from pipeline.contracts.shards import ShardReader
from pipeline.errors import DataError
from pipeline.seeds import derive_seed
from pipeline.shared_batch import own

CACHE_BYTES = 4 * 2**30
"""Clips kept in memory, first come first kept; a data set that fits is read from disk once (the demo's takes 50 MB)."""


class MomentWindows:
    """Random access to the windows of a split, in the shards' order."""

    def __init__(self, folder: Path, split: str | None, num_frames: int) -> None:
        """Args:
            folder: the encode stage's output.
            split: "train", "test", or None for both.
            num_frames: frames of a window.

        Raises:
            DataError: the split is empty.
        """
        self.reader, self.num_frames = read_moments(folder, split), num_frames
        self.metas: list[dict[str, object]] = [sample["meta"] for sample in ShardReader(folder, split, (META,))]
        starts: list[list[int]] = [list(meta["window_starts"]) for meta in self.metas]  # type: ignore[call-overload]
        self.places = [(clip, number, start) for clip, own in enumerate(starts) for number, start in enumerate(own)]
        """Of each window: its clip, its number in the clip, its first frame."""
        if not self.places:
            raise DataError(f"{folder} has no {split or ''} window; add videos to data.raw (or change inventory.test_share), "
                            f"then run: dvc repro")
        self._cache: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._cached_bytes = 0

    def __len__(self) -> int:
        return len(self.places)

    @property
    def latent_shape(self) -> tuple[int, int]:
        """Channels and side of the KL-VAE's latent."""
        audio = self._clip(0)[1]
        return audio.shape[1] // 2, audio.shape[2]

    def meta(self, i: int) -> dict[str, object]:
        """clip_id, start_frame, class_id, split of a window."""
        clip, _, start = self.places[i]
        return {"start_frame": start, **{name: self.metas[clip][name] for name in ("clip_id", "class_id", "split")}}

    def batch(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Windows by index.

        Returns:
            video: float16 moments of the frames [b, F, 2c, h, w]; audio: of the audio image [b, 2c, h, w]; class_id: int64 [b].
        """
        videos, audios = [], []
        for i in indices:
            clip, number, start = self.places[i]
            video, audio = self._clip(clip)
            if start + self.num_frames > len(video):
                raise DataError(f"clip {self.metas[clip]['clip_id']} has {len(video)} frames, its window at frame {start} needs "
                                f"{self.num_frames}; the shards are older than params.yaml, run: dvc repro encode")
            videos.append(video[start:start + self.num_frames])
            audios.append(audio[number])
        class_ids = [int(str(self.metas[self.places[i][0]]["class_id"])) for i in indices]
        found = {"video": np.stack(videos), "audio": np.stack(audios), "class_id": np.array(class_ids)}
        return {name: torch.from_numpy(values) for name, values in found.items()}

    def training_batch(self, step: int, size: int, seed: int) -> dict[str, Tensor]:
        """This process's items of a step's batch of `size`; each item is drawn by a seed of its own."""
        return self.batch([derive_seed(seed, "autoencoder", "window", step, item) % len(self) for item in own(range(size))])

    def _clip(self, clip: int) -> tuple[np.ndarray, np.ndarray]:
        if clip in self._cache:
            return self._cache[clip]
        sample = self.reader[clip]
        found = sample["video"], sample["audio"]
        size = found[0].nbytes + found[1].nbytes
        if self._cached_bytes + size <= CACHE_BYTES:
            self._cache[clip] = found
            self._cached_bytes += size
        return found


def class_names(folder: Path) -> tuple[str, ...]:
    """Class names by class_id over all splits; an id that no clip has gets an empty name."""
    names = {int(sample["meta"]["class_id"]): str(sample["meta"]["class_name"]) for sample in ShardReader(folder, None, (META,))}
    return tuple(names.get(i, "") for i in range(max(names, default=0) + 1))
