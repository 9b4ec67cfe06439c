"""Features taken once and kept: a file for each (extractor, set of windows), known by the content of both.

A set's address is made of the extractor's code, version and weights and of every window's content, in their order. So a change of the
samples takes new features of them alone, a change of a distance takes none. While a set is under way its batches lie in the scratch
folder; a run that was killed goes on after the last one. What is read back is checked against the hash in its name.
"""

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipeline.contracts.outputs import atomic_path
from pipeline.contracts.recipe import address, recipe
from pipeline.contracts.window_sets import Window, WindowSet
from stages.evaluate.extractors.extractor import Extractor

FOLDER = "features"
SILENCE = 32
"""Of 32768: a sound that stays under -60 dB."""
ONE_COLOUR = 2
"""Of 255: a picture whose brightest and darkest values differ by no more, in all frames together."""
HASH_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Features:
    """Of one set."""

    values: np.ndarray
    """float32 [n, d], or [n, k, d] when a window holds k of what the network takes in."""
    silent: np.ndarray
    """bool [n]."""
    one_colour: np.ndarray
    """bool [n]: nothing is to be seen in any frame."""


class FeatureStore:
    """Takes features, or finds those that were taken before."""

    def __init__(self, folder: Path | None = None, scratch: Path | None = None, earlier: Sequence[Path] = ()) -> None:
        """Args:
            folder: where sets are kept, part of the output; None: nothing is kept.
            scratch: for the batches of a set under way; None: a killed run begins its set again.
            earlier: outputs or scratch folders of other runs, read-only.
        """
        self.folder, self.scratch = (room and room / FOLDER for room in (folder, scratch))
        self.earlier = [path / FOLDER for path in earlier]
        self.taken, self.found = 0, 0
        for room in (self.folder, self.scratch):
            if room:
                room.mkdir(parents=True, exist_ok=True)

    def of(self, extractor: Extractor, windows: WindowSet) -> Features:
        """The features of every window, in order; a batch of windows is in memory at a time, so it does not grow with the set."""
        made_by = identity(extractor)
        addresses = windows.addresses
        name = f"{extractor.name}-{address(made_by, addresses).hex()}"
        kept = _read(name, (self.folder, *self.earlier))
        if kept is not None:
            self.found += len(windows)
            _write(self.folder, name, kept)
            return kept
        parts = []
        for first in range(0, len(windows), extractor.batch_size):
            piece = f"{extractor.name}-{address(made_by, addresses[first:first + extractor.batch_size], 'batch').hex()}"
            part = _read(piece, (self.scratch, *self.earlier))
            if part is None:
                part = take(extractor, [windows[i] for i in range(first, min(first + extractor.batch_size, len(windows)))])
                self.taken += len(part.values)
            _write(self.scratch, piece, part)
            parts.append((piece, part))
        whole = joined([part for _, part in parts])
        _write(self.folder, name, whole)
        for piece, _ in parts:
            for file in self.scratch.glob(f"{piece}-*") if self.scratch else ():
                file.unlink()
        return whole


def identity(extractor: Extractor) -> str:
    """Hash of all that decides a feature but the window: code, libraries, weights, the kind of processor."""
    threads = torch.get_num_threads() if extractor.device.type == "cpu" else 0
    return recipe(type(extractor).__module__, {"name": extractor.name, "version": extractor.version, "weights": extractor.weights,
                                               "input": extractor.input, "device": extractor.device.type, "threads": threads})


@torch.no_grad()
def take(extractor: Extractor, windows: list[Window]) -> Features:
    """Features of one batch."""
    return Features(extractor(windows).float().cpu().numpy(),
                    np.array([int(np.abs(window.waveform.astype(np.int32)).max(initial=0)) <= SILENCE for window in windows]),
                    np.array([int(window.frames.max()) - int(window.frames.min()) <= ONE_COLOUR for window in windows]))


def joined(parts: Sequence[Features]) -> Features:
    """One set of several; without any, of no window and one feature."""
    if not parts:
        return Features(np.zeros((0, 1), np.float32), np.zeros(0, bool), np.zeros(0, bool))
    return Features(np.concatenate([part.values for part in parts]), np.concatenate([part.silent for part in parts]),
                    np.concatenate([part.one_colour for part in parts]))


def _write(folder: Path | None, name: str, features: Features) -> None:
    if folder is None:
        return
    stream = io.BytesIO()
    np.savez(stream, values=features.values, silent=features.silent, one_colour=features.one_colour)
    data = stream.getvalue()
    with atomic_path(folder / f"{name}-{hashlib.sha256(data).hexdigest()[:HASH_DIGITS]}.npz") as temporary:
        temporary.write_bytes(data)


def _read(name: str, folders: Iterable[Path | None]) -> Features | None:
    """None: in none of the folders, or damaged."""
    for folder in filter(None, folders):
        for file in sorted(folder.glob(f"{name}-*.npz")):
            data = file.read_bytes()
            if hashlib.sha256(data).hexdigest()[:HASH_DIGITS] == file.stem.rpartition("-")[2]:
                with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                    return Features(arrays["values"], arrays["silent"], arrays["one_colour"])
    return None
