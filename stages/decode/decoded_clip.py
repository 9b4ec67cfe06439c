"""What a worker hands back for a clip: megabytes, so between processes of one machine they travel as shared memory.

Through the pool's pipe they would be copied five times in pieces of 64 KiB, which costs as much as resizing the frames. The memory has
no name in the file system: it is gone with the processes, however they end. (Free of torch: the receiving process needs none.)
"""

import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.reduction import DupFd, ForkingPickler
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class DecodedClip:
    """What `pipeline.contracts.decoded.decoded_sample` takes."""

    frames: np.ndarray
    waveform: np.ndarray
    meta: dict[str, object]


def _to_memory(clip: DecodedClip) -> tuple[Callable[..., DecodedClip], tuple[Any, ...]]:
    with open(os.memfd_create("decoded_clip"), "wb") as memory:
        memory.write(np.ascontiguousarray(clip.frames).data)
        memory.flush()
        return _from_memory, (DupFd(memory.fileno()), clip.frames.shape, clip.waveform, clip.meta)


def _from_memory(handle: Any, shape: tuple[int, ...], waveform: np.ndarray, meta: dict[str, object]) -> DecodedClip:
    fd = handle.detach()
    try:
        memory = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(fd)
    return DecodedClip(np.frombuffer(memory, np.uint8).reshape(shape), waveform, meta)


# For multiprocessing alone: what goes to another machine is pickled as ever. Elsewhere than on Linux there is no such memory.
if hasattr(os, "memfd_create"):
    ForkingPickler.register(DecodedClip, _to_memory)
