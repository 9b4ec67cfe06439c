"""What a worker hands back for a clip: megabytes, so between processes of one machine they travel as shared memory.

Through the pool's pipe they would be copied five times in pieces of 64 KiB, which costs as much as resizing the frames; here the worker
writes them where the other process reads them. The memory has no name in the file system: it is gone with the processes, however they
end. (Free of torch: the receiving process needs none.)
"""

import math
import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.reduction import DupFd, ForkingPickler
from typing import Any, BinaryIO

import numpy as np


@dataclass(frozen=True, slots=True)
class DecodedClip:
    """What `pipeline.contracts.decoded.decoded_sample` takes."""

    frames: np.ndarray
    waveform: np.ndarray
    meta: dict[str, object]
    memory: BinaryIO | None = None
    """In which the frames lie, where another process of this machine can read them."""

    def __reduce__(self) -> tuple[Callable[..., "DecodedClip"], tuple[Any, ...]]:
        """To another machine (Dask) the frames themselves go."""
        return DecodedClip, (self.frames, self.waveform, self.meta)


def empty_frames(shape: tuple[int, ...]) -> tuple[np.ndarray, BinaryIO | None]:
    """uint8 frames to fill, and the memory that they lie in, to be told to the `DecodedClip`."""
    if not hasattr(os, "memfd_create"):  # elsewhere than on Linux
        return np.empty(shape, np.uint8), None
    memory = open(os.memfd_create("decoded_clip"), "r+b", buffering=0)  # noqa: SIM115 (closed with the clip)
    memory.truncate(math.prod(shape))
    return np.frombuffer(mmap.mmap(memory.fileno(), 0), np.uint8).reshape(shape), memory


def _to_memory(clip: DecodedClip) -> tuple[Callable[..., DecodedClip], tuple[Any, ...]]:
    if clip.memory is None:
        return clip.__reduce__()
    return _from_memory, (DupFd(clip.memory.fileno()), clip.frames.shape, clip.waveform, clip.meta)


def _from_memory(handle: Any, shape: tuple[int, ...], waveform: np.ndarray, meta: dict[str, object]) -> DecodedClip:
    fd = handle.detach()
    try:
        memory = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(fd)
    return DecodedClip(np.frombuffer(memory, np.uint8).reshape(shape), waveform, meta)


# For multiprocessing alone.
ForkingPickler.register(DecodedClip, _to_memory)
