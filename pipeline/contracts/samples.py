"""sample -> evaluate, report: `samples.parquet`, and per sample an mp4 with a lossless sidecar.

`mp4/<sample_id>.mp4`: H.264 + AAC. `lossless/<sample_id>.npz`: frames uint8 [F, H, W, 3], waveform int16 [S],
gray uint8 [n_mels, columns] (the generated mel image). Reconstructions by the autoencoder alone are samples of task "reconstruction".
A sample is one window long (of a continuation: the window that comes next), one of task "long" is many.
"""

import fcntl
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.contracts.outputs import SUCCESS, atomic_path, require_whole
from pipeline.contracts.tables import read_table, write_table
from pipeline.errors import DataError

SAMPLES_SCHEMA = pa.schema([
    ("sample_id", pa.string()),      # "<task>-<number>"
    ("task", pa.string()),           # one of pipeline.params.Task, or reconstruction
    ("seed", pa.int64()),
    ("class_id", pa.int64()),        # the class asked for, or of the condition
    ("class_name", pa.string()),
    ("text", pa.string()),           # the text asked for; "" if none
    ("condition_clip_id", pa.string()),      # clip of the test split (of `mmldm generate`: the file); "" for svg, v, a, long
    ("condition_start_frame", pa.int64()),   # -1 for those
    ("sampler", pa.string()),
    ("steps", pa.int64()),
    ("guidance_scale", pa.float64()),
    ("mp4", pa.string()),            # relative to the folder
    ("lossless", pa.string()),
])
TABLE = "samples.parquet"


def write_samples(folder: Path, rows: list[dict[str, object]]) -> None:
    """Write the table of all samples."""
    write_table(folder / TABLE, rows, SAMPLES_SCHEMA)


def read_samples(folder: Path) -> pd.DataFrame:
    """The table of all samples (columns: SAMPLES_SCHEMA)."""
    return read_table(require_whole(folder) / TABLE, SAMPLES_SCHEMA)


def require_room_for_samples(folder: Path) -> None:
    """Raises:
        DataError: samples that no stage made cannot be put into `folder`.
    """
    if (folder / SUCCESS).is_file():
        raise DataError(f"{folder} is the output of a stage; choose another --out")
    if (folder / TABLE).exists():
        try:
            read_table(folder / TABLE, SAMPLES_SCHEMA)
        except (DataError, pa.ArrowInvalid, OSError):
            raise DataError(f"{folder / TABLE} is no table of samples of this version; move it away, or choose another --out") from None


def add_samples(folder: Path, rows: list[dict[str, object]]) -> None:
    """Put rows into the folder's table, in the place of those of the same mp4; several processes may do so at once."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        merged: dict[str, dict[Any, Any]] = {}
        if (folder / TABLE).exists():
            merged = {str(row["mp4"]): row for row in read_table(folder / TABLE, SAMPLES_SCHEMA).to_dict("records")}
        merged |= {str(row["mp4"]): row for row in rows}
        write_table(folder / TABLE, [merged[name] for name in sorted(merged)], SAMPLES_SCHEMA)
    finally:
        os.close(handle)


def write_lossless(path: Path, frames: np.ndarray, waveform: np.ndarray, gray: np.ndarray) -> None:
    """Write the lossless sidecar of one sample."""
    assert frames.dtype == np.uint8 and waveform.dtype == np.int16 and gray.dtype == np.uint8
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, frames=frames, waveform=waveform, gray=gray)


class LosslessWriter:
    """The lossless sidecar of a sample of many windows, written as they come: no more than one of them is in memory."""

    def __init__(self, path: Path, num_frames: int) -> None:
        self.path, self.num_frames, self.written = path, num_frames, 0

    def __enter__(self) -> "LosslessWriter":
        with ExitStack() as opening:
            temporary = opening.enter_context(atomic_path(self.path))
            # A member of a zip file is written in one go, so sound and mel wait in files that have no name.
            self.waveform, self.columns = (opening.enter_context(tempfile.TemporaryFile(dir=self.path.parent)) for _ in range(2))
            self.archive = opening.enter_context(zipfile.ZipFile(temporary, "w"))
            self.member = opening.enter_context(self.archive.open(zipfile.ZipInfo("frames.npy"), "w", force_zip64=True))
            self.files = opening.pop_all()
        return self

    def add(self, frames: np.ndarray, waveform: np.ndarray, gray: np.ndarray) -> None:
        """The next frames uint8 [F, H, W, 3], samples int16 [S] and columns of the mel image uint8 [n_mels, columns]."""
        if not self.written:
            header = {"descr": "|u1", "fortran_order": False, "shape": (self.num_frames, *frames.shape[1:])}
            np.lib.format.write_array_header_1_0(self.member, header)
        self.member.write(np.ascontiguousarray(frames).tobytes())
        self.written += len(frames)
        self.waveform.write(waveform.astype("<i2").tobytes())
        self.columns.write(gray.T.tobytes())
        self.num_mels = len(gray)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self.files:
            if error is not None:
                raise error
            assert self.written == self.num_frames, (self.written, self.num_frames)
            self.member.close()
            num_samples, num_columns = self.waveform.tell() // 2, self.columns.tell() // self.num_mels
            for name, file, dtype, shape in (("waveform.npy", self.waveform, "<i2", (num_samples,)),
                                            ("gray.npy", self.columns, "|u1", (self.num_mels, num_columns))):
                file.seek(0)
                with self.archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                    # Column by column, as they came.
                    np.lib.format.write_array_header_1_0(member, {"descr": dtype, "fortran_order": len(shape) == 2, "shape": shape})
                    shutil.copyfileobj(file, member)


def read_lossless(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(frames, waveform, gray) of one sample."""
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["frames"], arrays["waveform"], arrays["gray"]


def read_lossless_fields(path: Path, field: str) -> np.ndarray:
    """One of "frames", "waveform", "gray" of a sample."""
    with np.load(path, allow_pickle=False) as arrays:
        return arrays[field]


def read_frames(path: Path) -> Iterator[np.ndarray]:
    """The frames uint8 [H, W, 3] of a sample, one in memory at a time."""
    with zipfile.ZipFile(path) as archive, archive.open("frames.npy") as member:
        np.lib.format.read_magic(member)
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
        for _ in range(shape[0]):
            yield np.frombuffer(member.read(int(np.prod(shape[1:]))), dtype).reshape(shape[1:])
