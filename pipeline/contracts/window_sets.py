"""Sets of windows, and which real ones out of data/decode make a fair set. Loaded one by one, never all at once."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline.contracts.decoded import FRAMES, META, WAVEFORM, read_decoded
from pipeline.contracts.shards import read_hashes
from pipeline.contracts.windows import window_key, window_starts, window_waveform
from pipeline.errors import DataError
from pipeline.params import AudioParams, ClipParams
from pipeline.seeds import derive_seed


@dataclass(frozen=True, slots=True)
class Window:
    """One window, real or generated."""

    name: str
    """`window_key` of a real one, `sample_id` of a generated one."""
    class_id: int
    """Class of the clip, or the class asked for."""
    frames: np.ndarray
    """uint8 [F, H, W, 3]."""
    waveform: np.ndarray
    """int16 [S]."""


class WindowSet(Protocol):
    """Windows that are loaded when asked for."""

    @property
    def class_ids(self) -> list[int]:
        """Of each window; no frame is read."""

    @property
    def origins(self) -> list[tuple[str, float]]:
        """Of each window, what it belongs to (its source video, or the sample itself) and where it begins in it, seconds."""

    @property
    def names(self) -> list[str]:
        """Of each window, as a person would look for it."""

    @property
    def addresses(self) -> list[str]:
        """Of each window, a hash that two windows share only if they look and sound the same."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Window]: ...

    def __getitem__(self, i: int) -> Window: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a real window lies: a clip of one split, and the first frame."""

    clip_id: str
    start_frame: int


class RealWindows:
    """Windows of decoded clips, in the order of `places`."""

    def __init__(self, decode: Path, split: str, places: Sequence[Place], clip: ClipParams, audio: AudioParams) -> None:
        self.reader = read_decoded(decode, split)
        self.decode, self.places, self.clip, self.audio = decode, list(places), clip, audio
        self._index = {key: i for i, key in enumerate(self.reader.keys)}
        for place in self.places:
            if place.clip_id not in self._index:
                raise DataError(f"{decode} has no {split} clip {place.clip_id}, which data/sample was conditioned on; "
                                "run: dvc repro sample")

    @cached_property
    def _metas(self) -> list[dict[str, Any]]:
        reader = read_decoded(self.decode, None, (META,))
        rows = {key: i for i, key in enumerate(reader.keys)}
        metas = {clip_id: reader[rows[clip_id]]["meta"] for clip_id in {place.clip_id for place in self.places}}
        return [metas[place.clip_id] for place in self.places]

    @property
    def class_ids(self) -> list[int]:
        return [int(meta["class_id"]) for meta in self._metas]

    @property
    def origins(self) -> list[tuple[str, float]]:
        return [(str(meta["source_path"]), float(meta["start_sec"]) + place.start_frame / self.clip.fps)
                for meta, place in zip(self._metas, self.places, strict=True)]

    @property
    def names(self) -> list[str]:
        return [window_key(place.clip_id, place.start_frame) for place in self.places]

    @property
    def addresses(self) -> list[str]:
        frames, waveforms = (read_hashes(self.decode, field) for field in (FRAMES, WAVEFORM))
        shape = f"{self.clip.num_frames} at {self.clip.fps}, {self.audio.sample_rate_hz} Hz"
        return [f"{frames[place.clip_id]} {waveforms[place.clip_id]} {place.start_frame} {shape}" for place in self.places]

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Window]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i: int) -> Window:
        place = self.places[i]
        sample = self.reader[self._index[place.clip_id]]
        frames = sample["frames"][place.start_frame:place.start_frame + self.clip.num_frames]
        if len(frames) != self.clip.num_frames:
            raise DataError(f"window {window_key(place.clip_id, place.start_frame)} has {len(frames)} frames, "
                            f"{self.clip.num_frames} needed; the shards are older than the params, run: dvc repro decode")
        sound = window_waveform(sample["waveform"], place.start_frame, self.clip, self.audio)
        return Window(window_key(place.clip_id, place.start_frame), int(sample["meta"]["class_id"]), frames, sound)


@dataclass(frozen=True, slots=True)
class SourceClips:
    """The clips of one source video; sources are never divided between two sets that are compared."""

    source_path: str
    class_id: int
    clips: tuple[tuple[str, int], ...]
    """(clip_id, number of frames)."""


def sources_of(decode: Path, split: str) -> list[SourceClips]:
    """Every source of a split, with its clips, sorted by path; no frame is read."""
    frames = read_decoded(decode, split, (FRAMES,))
    found: dict[tuple[str, int], list[tuple[str, int]]] = defaultdict(list)
    for i, sample in enumerate(read_decoded(decode, split, (META,))):
        found[(sample["meta"]["source_path"], int(sample["meta"]["class_id"]))].append((sample["key"], frames.shape(i, FRAMES)[0]))
    return [SourceClips(path, class_id, tuple(sorted(clips))) for (path, class_id), clips in sorted(found.items())]


def halves(sources: Sequence[SourceClips], seed: int) -> tuple[list[SourceClips], list[SourceClips]]:
    """Two disjoint sets of sources with every class divided evenly: what samples are compared with, and what gives the floor.

    A source that is alone is compared with, and there is no floor.
    """
    first: list[SourceClips] = []
    second: list[SourceClips] = []
    for place, source in _class_ranks(sources, seed):
        (first if place % 2 == 0 else second).append(source)
    return (first, second) if first else (second, [])


def spread(sources: Sequence[SourceClips], count: int, clip: ClipParams, seed: int) -> list[Place]:
    """`count` windows (or all there are) that share sources as little as possible: one of each source, then a second of each, ...

    The order is random by seed and source, with the classes taking turns, so any beginning of the list is a fair subset.
    """
    ranked = sorted(_class_ranks(sources, seed), key=lambda pair: (pair[0] - pair[1].class_id, pair[1].class_id))
    queues: list[Iterator[Place]] = []
    for _, source in ranked:
        places = [Place(clip_id, start) for clip_id, length in source.clips for start in window_starts(length, clip)]
        random = np.random.default_rng(derive_seed(seed, "evaluate", "windows", source.source_path))
        queues.append(iter([places[i] for i in random.permutation(len(places))]))
    chosen: list[Place] = []
    while queues and len(chosen) < count:
        drawn = [(queue, next(queue, None)) for queue in queues]
        queues = [queue for queue, place in drawn if place is not None]
        chosen.extend(place for _, place in drawn if place is not None)
    return chosen[:count]


def _class_ranks(sources: Sequence[SourceClips], seed: int) -> list[tuple[int, SourceClips]]:
    """(random place within the class + class_id, source): adding the class lets classes of a single source take turns between halves."""
    classes: dict[int, list[SourceClips]] = defaultdict(list)
    for source in sources:
        classes[source.class_id].append(source)
    ranked = []
    for class_id, members in sorted(classes.items()):
        ordered = sorted(members, key=lambda s: derive_seed(seed, "evaluate", "order", s.source_path))
        ranked += [(rank + class_id, source) for rank, source in enumerate(ordered)]
    return ranked
