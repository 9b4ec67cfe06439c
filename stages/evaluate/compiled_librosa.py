"""librosa with its machine code made or loaded under a lock, one process of this environment at a time.

librosa compiles its inner loops at their first use and keeps the machine code in files. numba writes two files for a loop, without a
lock: two processes that compile at once can leave files that do not belong together, and whoever loads them crashes with a
segmentation fault, then and at every later start (numba issue 10128, librosa issue 1998).
"""

import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np

LOCK_NAME = ".librosa-is-compiled.lock"
RATE_HZ = 22_050
"""To which librosa.load resamples when it is not told a rate, as in the published programs; its onsets lie on a grid of 512 samples."""


@cache
def compiled_librosa() -> ModuleType:
    """librosa, ready for `onset_detect`, `beat_track` and `resample`; the first call in a fresh environment takes half a minute."""
    with _one_at_a_time():
        import librosa

        clicks = np.zeros(3 * RATE_HZ, np.float32)
        clicks[::RATE_HZ // 2] = 1
        librosa.onset.onset_detect(onset_envelope=librosa.onset.onset_strength(y=clicks, sr=RATE_HZ), sr=RATE_HZ)
        librosa.beat.beat_track(y=clicks, sr=RATE_HZ, units="time")
        librosa.resample(clicks, orig_sr=RATE_HZ, target_sr=16_000)
    return librosa


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with open(lock_path(), "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def lock_path() -> Path:
    """In the environment that holds librosa; numba keeps its files with the user where that cannot be written, and so does the lock."""
    if os.access(sys.prefix, os.W_OK):
        return Path(sys.prefix) / LOCK_NAME
    return Path(tempfile.gettempdir()) / f"{LOCK_NAME}-{os.getuid()}"
