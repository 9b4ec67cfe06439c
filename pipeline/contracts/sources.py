"""inventory -> whoever asks what the videos are like, and the inventory's own next run: `sources.parquet`, `pairs.parquet`.

One row a distinct content (sha256) of data.raw, with all that was measured by decoding it; one row a pair of contents that are alike,
with the verdict whether they hold the same recording. Both are sorted by sha256. A later run takes over the rows whose `made_by` is
still its own, and decodes only what is new.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa

from pipeline.contracts.tables import read_table, write_table

SOURCES, PAIRS = "sources.parquet", "pairs.parquet"
SOURCES_SCHEMA = pa.schema([
    ("sha256", pa.string()),
    ("source_path", pa.string()),       # relative to data.raw; of several copies the first
    ("bytes", pa.int64()),
    ("reason", pa.string()),            # "" or why this content can never be used (stages/inventory/reasons.py): what follows is null
    ("detail", pa.string()),
    ("group", pa.string()),             # key of the group, whose sources share their split; "" for one that is not used
    ("split", pa.string()),             # "train", "test", "" for one that is not used
    ("container", pa.string()),         # FFmpeg's name of the file format
    ("video_codec", pa.string()),
    ("audio_codec", pa.string()),
    ("frames", pa.int64()),             # shown
    ("hidden_frames", pa.int64()),      # in the file, but hidden by an edit list
    ("video_start_sec", pa.float64()),  # the file's own time of the first shown frame, which may be negative
    ("video_end_sec", pa.float64()),    # times count from the first shown frame
    ("audio_start_sec", pa.float64()),
    ("audio_end_sec", pa.float64()),
    ("width_px", pa.int64()),           # as shown: after rotation, with the pixel's shape applied
    ("height_px", pa.int64()),
    ("rotation_deg", pa.int64()),       # counter-clockwise, to stand upright: 0, 90, 180, 270
    ("size_changes", pa.bool_()),
    ("variable_rate", pa.bool_()),      # gaps between frames differ by more than rounding
    ("video_streams", pa.int64()),      # without cover images
    ("audio_streams", pa.int64()),
    ("audio_rate_hz", pa.int64()),
    ("audio_channels", pa.int64()),
    ("audio_layout", pa.string()),      # FFmpeg's name: mono, stereo, 5.1(side), ...
    ("audio_peak", pa.float64()),       # largest sample, full scale 1.0; float codecs go beyond
    ("audio_rms", pa.float64()),        # mean square over samples and channels, root
    ("loudness_lufs", pa.float64()),    # integrated, ITU-R BS.1770-4; null where all is below -70 LUFS
    ("full_scale_share", pa.float64()), # of the samples: at full scale or beyond
    ("black_share", pa.float64()),      # of the time: the picture is black
    ("picture_change", pa.float64()),   # largest change of a spot of the picture since the first, of 255, seen at 32 x 32
    ("picture_hashes", pa.binary()),    # pairs of uint64 little-endian, 4 a second (stages/inventory/fingerprint.py)
    ("sound_words", pa.binary()),       # uint32 little-endian, 8 a second, the first at audio_start_sec
    ("reader", pa.string()),            # "decord" or "pyav": which reader is right for this file
    ("reader_because", pa.string()),    # why not decord; "" for decord
    ("made_by", pa.string()),           # hash of the measuring code and its libraries (pipeline/contracts/recipe.py)
])
PAIRS_SCHEMA = pa.schema([
    ("first", pa.string()),             # sha256, the smaller one
    ("second", pa.string()),
    ("same", pa.bool_()),               # the same recording: then they are of one group
    ("lag_sec", pa.float64()),          # what is at t in the first is at t + lag_sec in the second
    ("sound", pa.float64()),            # correlation of the waves, 0 to 1
    ("picture", pa.float64()),          # correlation of the pictures; null where the sound is another already
    ("change", pa.float64()),           # correlation of the pictures' changes; null where nothing moves too
    ("made_by", pa.string()),
])


def write_sources(folder: Path, sources: Iterable[Mapping[str, object]], pairs: Iterable[Mapping[str, object]]) -> None:
    """Write both tables, sorted."""
    write_table(folder / SOURCES, sorted(sources, key=lambda row: str(row["sha256"])), SOURCES_SCHEMA)
    write_table(folder / PAIRS, sorted(pairs, key=lambda row: (str(row["first"]), str(row["second"]))), PAIRS_SCHEMA)


def read_sources(folder: Path) -> pd.DataFrame:
    """All sources, sorted by sha256 (columns: SOURCES_SCHEMA)."""
    return read_table(folder / SOURCES, SOURCES_SCHEMA)


def read_pairs(folder: Path) -> pd.DataFrame:
    """All judged pairs (columns: PAIRS_SCHEMA)."""
    return read_table(folder / PAIRS, PAIRS_SCHEMA)
