"""sample -> evaluate, report: `samples.parquet`, and per sample an mp4 with a lossless sidecar.

`mp4/<sample_id>.mp4`: H.264 + AAC. `lossless/<sample_id>.npz`: frames uint8 [F, H, W, 3], waveform int16 [S],
gray uint8 [n_mels, columns] (the generated mel image). Reconstructions by the autoencoder alone are samples of task "reconstruction".
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.contracts.outputs import atomic_path, require_whole
from pipeline.contracts.tables import read_table, write_table

SAMPLES_SCHEMA = pa.schema([
    ("sample_id", pa.string()),      # "<task>-<number>"
    ("task", pa.string()),           # svg, a2v, v2a, reconstruction
    ("seed", pa.int64()),
    ("class_id", pa.int64()),        # the class asked for, or of the condition
    ("class_name", pa.string()),
    ("condition_clip_id", pa.string()),      # clip of the test split; "" for svg
    ("condition_start_frame", pa.int64()),   # -1 for svg
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


def write_lossless(path: Path, frames: np.ndarray, waveform: np.ndarray, gray: np.ndarray) -> None:
    """Write the lossless sidecar of one sample."""
    assert frames.dtype == np.uint8 and waveform.dtype == np.int16 and gray.dtype == np.uint8
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, frames=frames, waveform=waveform, gray=gray)


def read_lossless(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(frames, waveform, gray) of one sample."""
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["frames"], arrays["waveform"], arrays["gray"]
