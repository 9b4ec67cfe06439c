"""One clip, read whole in a worker process: frames, waveform, and what is worth knowing about them."""

from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import torch

from pipeline.errors import DataError
from stages.decode.audio import read_waveform, to_int16
from stages.decode.decoded_clip import DecodedClip, empty_frames
from stages.decode.picture import fit_picture
from stages.decode.tasks import ClipTask
from stages.decode.video import READERS, DecordReader, PyavReader
from stages.inventory.reasons import RejectedFile
from stages.inventory.streams import FileStamp, file_stamp, hash_file

ATTEMPTS = 3
"""To read a file that is touched meanwhile and keeps its bytes (a new link to it, other permissions)."""


def read_clip(task: ClipTask) -> DecodedClip:
    """Decode one clip.

    Raises:
        DataError: the file is gone, is another one than at the inventory, changes while it is read, or can no longer be decoded.
    """
    torch.set_num_threads(1)  # workers share the cores; the bytes must not depend on how
    path = task.raw / task.source_path
    for _ in range(ATTEMPTS):
        before = file_stamp(path)
        _require_same(path, task.source_sha256, before)
        clip = _decoded(task, path)
        # Only what was read from a file that nobody touched meanwhile is known to be of the bytes that were hashed.
        if file_stamp(path) == before:
            return clip
    raise DataError(f"{path} was touched {ATTEMPTS} times while it was read; wait until nothing writes to it, "
                    "then run the same command again")


def _decoded(task: ClipTask, path: Path) -> DecodedClip:
    try:
        with READERS[task.reader](path) as video:
            frames, memory = _square_frames(task, video)
        waveform, gain = to_int16(read_waveform(path, video.zero_sec, task.start_sec, task.num_frames / task.fps, task.rate_hz))
    except (av.error.FFmpegError, RejectedFile, AssertionError, RuntimeError, OSError) as error:
        _require_same(path, task.source_sha256, file_stamp(path))
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} could be read at the inventory and cannot now ({task.reader}: {reason}); "
                        "run: dvc repro inventory --force, then dvc repro") from error
    meta: dict[str, object] = {
        "clip_id": task.clip_id, "class_id": task.class_id, "class_name": task.class_name, "split": task.split,
        "source_path": task.source_path, "start_sec": task.start_sec, "gain": gain, "reader": task.reader,
    }
    return DecodedClip(frames, waveform, meta, memory)


def _square_frames(task: ClipTask, video: DecordReader | PyavReader) -> tuple[np.ndarray, BinaryIO | None]:
    frames, memory = empty_frames((task.num_frames, task.size_px, task.size_px, 3))
    count, last = 0, None
    for picture in video.pictures(task.start_sec, task.fps, task.num_frames):
        frames[count] = frames[count - 1] if picture is last else fit_picture(picture, task.shown_px, task.size_px, task.fit)
        count, last = count + 1, picture
    assert count == task.num_frames, f"{count} frames, {task.num_frames} expected"
    return frames, memory


@lru_cache(maxsize=1)
def _require_same(path: Path, sha256: str, stamp: FileStamp | None) -> None:
    """Clips of one source come one after the other, so each worker hashes a source once, as long as nobody touches it (`stamp`)."""
    found = hash_file(path) if stamp is not None and path.is_file() else None
    if found != sha256:
        state = "is gone" if found is None else f"changed (sha256 {found[:12]}, was {sha256[:12]})"
        raise DataError(f"{path} {state} since the inventory; run: dvc repro inventory, then dvc repro")
