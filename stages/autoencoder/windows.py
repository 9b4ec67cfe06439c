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

    def __init__(self, folder: Path, split: str | None, num_frames: int, *, flip_share: float = 0.0) -> None:
        """Args:
            folder: the encode stage's output.
            split: "train", "test", or None for both.
            num_frames: frames of a window.
            flip_share: of the windows in a training batch, whose frames come mirrored left to right.

        Raises:
            DataError: the split is empty, or mirrored frames are asked for and were not encoded.
        """
        self.reader, self.num_frames, self.flip_share = read_moments(folder, split, flipped=flip_share > 0), num_frames, flip_share
        self.metas: list[dict[str, object]] = [sample["meta"] for sample in ShardReader(folder, split, (META,))]
        starts: list[list[int]] = [list(meta["window_starts"]) for meta in self.metas]  # type: ignore[call-overload]
        self.places = [(clip, number, start) for clip, own in enumerate(starts) for number, start in enumerate(own)]
        """Of each window: its clip, its number in the clip, its first frame."""
        if not self.places:
            raise DataError(f"{folder} has no {split or ''} window; add videos to data.raw (or change inventory.test_share), "
                            f"then run: dvc repro")
        self._cache: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray | None]] = {}
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

    def batch(self, indices: Sequence[int], flips: Sequence[bool] = ()) -> dict[str, Tensor]:
        """Windows by index.

        Args:
            flips: of each window, whether its frames are to be mirrored; none when left out.

        Returns:
            video: float16 moments of the frames [b, F, 2c, h, w]; audio: of the audio image [b, 2c, h, w]; class_id: int64 [b].
        """
        videos, audios = [], []
        for i, flip in zip(indices, flips or [False] * len(indices), strict=True):
            clip, number, start = self.places[i]
            video, audio, mirrored = self._clip(clip)
            if flip:
                assert mirrored is not None
                video = mirrored
            if start + self.num_frames > len(video):
                raise DataError(f"clip {self.metas[clip]['clip_id']} has {len(video)} frames, its window at frame {start} needs "
                                f"{self.num_frames}; the shards are older than params.yaml, run: dvc repro encode")
            videos.append(video[start:start + self.num_frames])
            audios.append(audio[number])
        class_ids = [int(str(self.metas[self.places[i][0]]["class_id"])) for i in indices]
        found = {"video": np.stack(videos), "audio": np.stack(audios), "class_id": np.array(class_ids)}
        return {name: torch.from_numpy(values) for name, values in found.items()}

    def training_batch(self, step: int, size: int, seed: int) -> dict[str, Tensor]:
        """This process's items of a step's batch of `size`; each item, and whether it is mirrored, is drawn by a seed of its own."""
        items = own(range(size))
        flips = [derive_seed(seed, "autoencoder", "flip", step, item) % 2**20 < self.flip_share * 2**20 for item in items]
        return self.batch([derive_seed(seed, "autoencoder", "window", step, item) % len(self) for item in items], flips)

    def _clip(self, clip: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        if clip in self._cache:
            return self._cache[clip]
        sample = self.reader[clip]
        found = sample["video"], sample["audio"], sample.get("video_flipped")
        size = sum(array.nbytes for array in found if array is not None)
        if self._cached_bytes + size <= CACHE_BYTES:
            self._cache[clip] = found
            self._cached_bytes += size
        return found


def class_names(folder: Path) -> tuple[str, ...]:
    """Class names by class_id over all splits; an id that no clip has gets an empty name."""
    names = {int(sample["meta"]["class_id"]): str(sample["meta"]["class_name"]) for sample in ShardReader(folder, None, (META,))}
    return tuple(names.get(i, "") for i in range(max(names, default=0) + 1))
