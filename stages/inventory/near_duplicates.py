"""Which sources may show the same recording, by their fingerprints alone; same_recording.py then looks at the files.

Encoded anew, resized, cut shorter, at another frame rate, darker: picture and sound change a little, and both are shifted by one
and the same time. So: sources that have parts of hashes in common are compared; at the shifts at which their sounds agree best, the
pictures are compared too (a sound that repeats itself, a clock's, agrees at several); there both must be alike, over nearly all of the
shorter source (or 5 s).

What is not found: copies with another sound, mirrored or cropped pictures, another speed.

Measured (python -m tests.benchmarks.near_duplicates), copies encoded anew, at half the size, at 12 frames a second, cut, darker, and all of
it at once. 96 of real clips: all alike; of the sound 0.23 of the bits differ at most, of the picture 0.07 are opposed (1,891 pairs of
strangers: 0.41 of either at least). 240 of demo clips, made things that are alike in kind: 232 alike; picture 0.17 at most where the
shift is the right one. Of 51,040 pairs of strangers among these 3,310 are alike, of which 728 are looked at in the files, and none is taken
for a copy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.inventory.fingerprint import PICTURE_HZ, SOUND_HZ
from stages.inventory.measured import Measured

PART_BITS, PARTS = 21, 3
"""Of a picture hash (and of a sound word one, so that sources with a single still picture meet too). Two copies have a whole part in
common at some moment (all of 368 copies of real clips), two strangers hardly ever."""
NEIGHBOURS = 8
"""Sources with which each one is compared of those that share a part; a part that very many have tells little."""
MAX_COMPARED = 32
"""Sources with which each one is compared in all, those first that share most parts."""
MAX_CHECKED = 4
"""Pairs a source that are looked at in the files."""
MIN_OVERLAP_SEC, ENOUGH_OVERLAP_SEC, OVERLAP_SHARE = 1.5, 5.0, 0.8
"""What two sources must have in common: this share of the shorter one, but never more than 5 s, never less than 1.5 s. (Clips that only
begin with the same title are not the same.)"""
LAGS, LAG_SLACK, LAG_APART = 8, 0.08, 3
"""Shifts at which the pictures are compared: at most so many, whose share of differing bits is so close to the best one's, and which lie
so many moments apart."""
STRETCH_SEC = 8.0
"""Of two files that is read again."""
SLACK_SEC = 0.2
"""How far the sound may lie from its place by the words, which count in eighths of a second."""
MAX_SOUND_ERROR = 0.35
"""Share of differing bits."""
MAX_PICTURE_ERROR = 0.25
"""Share of opposed bits: clearly positive in one, clearly negative in the other, of those that are clear in both."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is compared of a source."""

    sha256: str
    picture_hashes: np.ndarray
    """uint64 [n, 2], PICTURE_HZ a second, the first at the first frame."""
    sound_words: np.ndarray
    """uint32 [m], SOUND_HZ a second, the first at `sound_start_sec`."""
    sound_start_sec: float

    @classmethod
    def of(cls, sha256: str, measured: Measured) -> "Fingerprint":
        """Of what was measured."""
        hashes, words = np.frombuffer(measured.picture_hashes, "<u8").reshape(-1, 2), np.frombuffer(measured.sound_words, "<u4")
        return cls(sha256, hashes, words, measured.audio_start_sec)


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs between two sources, at the shift at which they agree best."""

    lag_sec: float
    """What is at t in the first is at t + lag_sec in the second."""
    sound_error: float
    """Share of differing bits."""
    picture_error: float
    """Share of opposed bits; 0 where no bit is clear in both."""

    @property
    def distance(self) -> float:
        """0: equal; 2: as far as is allowed."""
        return self.sound_error / MAX_SOUND_ERROR + self.picture_error / MAX_PICTURE_ERROR

    @property
    def is_small(self) -> bool:
        """Whether the two are alike."""
        return self.sound_error <= MAX_SOUND_ERROR and self.picture_error <= MAX_PICTURE_ERROR


@dataclass(frozen=True, slots=True, order=True)
class Likeness:
    """Two sources that are alike."""

    distance: float
    """Difference.distance."""
    first: str
    """sha256; the smaller one of the two."""
    second: str
    lag_sec: float
    """What is at t in the first is at t + lag_sec in the second."""


def likely_pairs(sources: Sequence[Fingerprint]) -> list[Likeness]:
    """Pairs to be looked at in the files, sorted by their hashes; at most `MAX_CHECKED` a source, the most alike."""
    ordered = sorted(sources, key=lambda source: source.sha256)
    found = [likeness for i, j in _candidates(ordered) if (likeness := compare(ordered[i], ordered[j]))]
    best: dict[str, list[Likeness]] = {}
    for likeness in sorted(found):
        for sha in (likeness.first, likeness.second):
            best.setdefault(sha, []).append(likeness)
    chosen = {likeness for own in best.values() for likeness in own[:MAX_CHECKED]}
    return sorted(chosen, key=lambda likeness: (likeness.first, likeness.second))


def compare(first: Fingerprint, second: Fingerprint) -> Likeness | None:
    """How alike two sources are, None if they are not."""
    found = difference(first, second)
    return Likeness(found.distance, first.sha256, second.sha256, found.lag_sec) if found and found.is_small else None


def difference(first: Fingerprint, second: Fingerprint) -> Difference | None:
    """How far apart two sources are where they agree best; None where too little of their sound tells anything."""
    tried = [Difference(lag_sec, error, _picture_error(first, second, lag_sec)) for lag_sec, error in _sound_lags(first, second)]
    return min(tried, key=lambda found: (found.distance, found.lag_sec), default=None)


def stretch(first: Measured, second: Measured, lag_sec: float) -> tuple[float, float]:
    """(begin in the first, length) in seconds of where to look: of what both have in common the part with most sound."""
    begin = max(0.0, first.audio_start_sec, -lag_sec, second.audio_start_sec - lag_sec) + SLACK_SEC
    end = min(first.video_end_sec, first.audio_end_sec, second.video_end_sec - lag_sec, second.audio_end_sec - lag_sec) - SLACK_SEC
    length = max(min(end - begin, STRETCH_SEC), 0.0)
    told = np.frombuffer(first.sound_words, "<u4") != 0

    def heard(part: float) -> int:
        at = round((part - first.audio_start_sec) * SOUND_HZ)
        return int(told[at:at + round(length * SOUND_HZ)].sum())

    parts = [begin + i * STRETCH_SEC for i in range(max(int((end - begin) / STRETCH_SEC), 1))]
    return max(parts, key=heard), length


def _sound_lags(first: Fingerprint, second: Fingerprint) -> list[tuple[float, float]]:
    """(lag in seconds, share of differing bits) where the sounds agree best, the best one first."""
    a, b = first.sound_words, second.sound_words
    needed = _needed(len(a), len(b), SOUND_HZ)
    lags = np.arange(-(len(a) - needed), len(b) - needed + 1)
    if not len(lags):
        return []
    told_a, told_b = a != 0, b != 0
    # The number of agreeing less that of differing bits, and of moments in which both tell something, for all lags at once.
    size = 1 << (len(a) + len(b) - 1).bit_length()
    agreeing = _correlate(_signs(a) * told_a[:, None], _signs(b) * told_b[:, None], size).sum(axis=1)
    told = _correlate(told_a[:, None].astype(np.float32), told_b[:, None].astype(np.float32), size)[:, 0]
    told, agreeing = told[lags], agreeing[lags]
    errors = np.where(told > needed / 4, (1 - agreeing / np.maximum(32 * told, 1)) / 2, 1.0)
    found: list[tuple[float, float]] = []
    limit = min(float(errors.min()) + LAG_SLACK, 0.999)
    while len(found) < LAGS and errors[best := int(np.argmin(errors))] <= limit:
        found.append((float(lags[best]) / SOUND_HZ + second.sound_start_sec - first.sound_start_sec, float(errors[best])))
        errors[max(0, best - LAG_APART + 1):best + LAG_APART] = 1.0
    return found


def _picture_error(first: Fingerprint, second: Fingerprint, lag_sec: float) -> float:
    """Share of opposed bits at a lag."""
    a, b = _overlap(first.picture_hashes, second.picture_hashes, round(lag_sec * PICTURE_HZ))
    opposed = np.bitwise_count(a & b[:, ::-1]).sum()
    clear = np.bitwise_count((a[:, 0] | a[:, 1]) & (b[:, 0] | b[:, 1])).sum()
    return float(opposed / max(clear, 1))


def _correlate(a: np.ndarray, b: np.ndarray, size: int) -> np.ndarray:
    """sum over i of a[i] * b[i + lag], at index `lag` (negative ones from the end): float32 [size, columns]."""
    spectrum = np.conj(np.fft.rfft(a, size, axis=0)) * np.fft.rfft(b, size, axis=0)
    return np.fft.irfft(spectrum, size, axis=0)


def _signs(words: np.ndarray) -> np.ndarray:
    """float32 [n, 32] of +1 and -1."""
    bits = np.unpackbits(words.astype(">u4").view(np.uint8).reshape(-1, 4), axis=1)
    return bits.astype(np.float32) * 2 - 1


def _overlap(a: np.ndarray, b: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The parts of both that lie at the same time."""
    begin, end = max(0, -steps), min(len(a), len(b) - steps)
    return (a[begin:end], b[begin + steps:end + steps]) if end > begin else (a[:0], b[:0])


def _needed(num_a: int, num_b: int, hz: int) -> int:
    """Moments that two sources must have in common."""
    return int(max(MIN_OVERLAP_SEC * hz, min(ENOUGH_OVERLAP_SEC * hz, OVERLAP_SHARE * min(num_a, num_b))))


def _candidates(sources: Sequence[Fingerprint]) -> list[tuple[int, int]]:
    """Pairs of indices that share parts of hashes; a few for each source, whatever the number of sources."""
    parts, owners = [], []
    for i, source in enumerate(sources):
        positive, words = source.picture_hashes[:, 0], source.sound_words.astype(np.uint64)
        for part, values in enumerate([*(positive >> np.uint64(part * PART_BITS) for part in range(PARTS)), words]):
            own = np.unique(values & np.uint64((1 << PART_BITS) - 1))
            own = own[own != 0]  # silence, no clear frequency
            parts.append((own << np.uint64(2)) | np.uint64(part))
            owners.append(np.full(len(own), i, np.int64))
    if not parts:
        return []
    values, owner = np.concatenate(parts), np.concatenate(owners)
    order = np.lexsort((owner, values))
    values, owner = values[order], owner[order]
    pairs = []
    for step in range(1, NEIGHBOURS + 1):
        same = values[step:] == values[:-step]
        pairs.append(owner[:-step][same] * len(sources) + owner[step:][same])
    keys, counts = np.unique(np.concatenate(pairs), return_counts=True)
    return _most_shared(keys // len(sources), keys % len(sources), counts)


def _most_shared(first: np.ndarray, second: np.ndarray, counts: np.ndarray) -> list[tuple[int, int]]:
    """The pairs that are among the `MAX_COMPARED` with the highest count of one of their two."""
    keep = np.zeros(len(counts), bool)
    for own in (first, second):
        order = np.lexsort((first, second, -counts, own))
        starts = np.r_[True, own[order][1:] != own[order][:-1]]
        begins = np.flatnonzero(starts)
        rank = np.arange(len(order)) - np.repeat(begins, np.diff(np.r_[begins, len(order)]))
        keep[order[rank < MAX_COMPARED]] = True
    return list(zip(first[keep].tolist(), second[keep].tolist(), strict=True))
