"""Windows and the windows before them: what continuation is trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from pipeline.contracts.windows import window_key
from pipeline.errors import DataError, ParamsError
from pipeline.processes import world_size
from pipeline.seeds import derive_seed
from pipeline.shared_batch import own
from stages.dit.data import Posteriors, batch_indices


@dataclass(frozen=True, slots=True)
class ContinuedWindows:
    """The pairs of a split; `batch` puts some of them before a step's other windows."""

    posteriors: Posteriors
    pairs: Sequence[tuple[int, int]]
    """Places of a window and of the one that begins where it ends."""

    def batch(self, pairs: Sequence[tuple[int, int]], others: Sequence[int]) -> dict[str, Tensor]:
        """A batch of `Posteriors` of the pairs' second windows and then the others, and "previous_audio", "previous_video" of the first."""
        before = self.posteriors.batch([first for first, _ in pairs])
        batch = self.posteriors.batch([*(second for _, second in pairs), *others])
        return {**batch, "previous_audio": before["audio"], "previous_video": before["video"]}

    def batch_at(self, step: int, batch_size: int, share: float, seed: int) -> dict[str, Tensor]:
        """The batch of a step: a fixed number of pairs, at least one, so that every parameter of the network has its part."""
        count = pairs_per_batch(batch_size, share)
        places = batch_indices(len(self.pairs), count, step, derive_seed(seed, "continuation"))
        others = batch_indices(len(self.posteriors.windows), batch_size - count, step, seed)
        return self.batch([self.pairs[place] for place in own(places)], own(others))


def pairs_per_batch(batch_size: int, share: float) -> int:
    """Items of a batch that are continuations, at least one.

    Raises:
        ParamsError: several processes cannot share them evenly.
    """
    count = min(max(round(share * batch_size), 1), batch_size - 1)
    if count % world_size():
        raise ParamsError(f"params.yaml: dit.continuation_share is {share:g}, which makes {count} of the {batch_size} items of a batch "
                          f"continuations; {world_size()} processes need a multiple of {world_size()}")
    return count


def following_pairs(keys: Sequence[str], num_frames: int) -> list[tuple[int, int]]:
    """Places (first, second) of windows of one clip, the second beginning at the frame after the first's last.

    Args:
        keys: of `pipeline.contracts.windows.window_key`.
        num_frames: frames of a window.
    """
    places = {key: place for place, key in enumerate(keys)}
    found = []
    for second, key in enumerate(keys):
        clip_id, start = key.rsplit("-", 1)
        first = places.get(window_key(clip_id, int(start) - num_frames)) if int(start) >= num_frames else None
        if first is not None:
            found.append((first, second))
    return found


def require_pairs(pairs: Sequence[tuple[int, int]], num_frames: int) -> None:
    """Raises:
        DataError: there are none to train on.
    """
    if not pairs:
        raise DataError(f"no training clip holds two windows in a row (of {num_frames} frames, one where the other ends), which "
                        "dit.continuation_share needs; add longer clips, choose a clip.window_stride that divides clip.num_frames, "
                        "or set dit.continuation_share to 0")
