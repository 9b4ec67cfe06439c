"""latents -> dit, sample: the clips' captions and, once each, their embeddings by a text encoder.

`captions.parquet`: one row a clip, with its place among the embeddings; `captions.npy`: float16 [captions, tokens, width], read
from disk row by row. Neither exists where `latents.text_encoder` names no encoder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.contracts.outputs import atomic_path
from pipeline.contracts.tables import read_table, write_table

CAPTIONS_SCHEMA = pa.schema([
    ("clip_id", pa.string()),
    ("caption", pa.string()),
    ("row", pa.int64()),         # of captions.npy
])
TABLE, EMBEDDINGS = "captions.parquet", "captions.npy"


@dataclass(frozen=True, slots=True)
class Captions:
    """What is said of each clip."""

    texts: dict[str, str]
    """By clip_id."""
    rows: dict[str, int]
    embeddings: np.ndarray
    """float16 [captions, tokens, width], on disk."""

    def embedded(self, clip_ids: Sequence[str]) -> np.ndarray:
        """float16 [b, tokens, width]."""
        return np.stack([self.embeddings[self.rows[clip_id]] for clip_id in clip_ids])


def write_captions(folder: Path, texts: dict[str, str], embedded: Sequence[str], parts: Sequence[Path], shape: tuple[int, int]) -> None:
    """Write both files.

    Args:
        texts: captions by clip_id.
        embedded: the distinct ones, in the order of their embeddings.
        parts: files .npy of consecutive embeddings, float16 [n, *shape].
        shape: tokens and width.
    """
    rows = {caption: row for row, caption in enumerate(embedded)}
    write_table(folder / TABLE, [{"clip_id": clip_id, "caption": text, "row": rows[text]} for clip_id, text in sorted(texts.items())],
                CAPTIONS_SCHEMA)
    with atomic_path(folder / EMBEDDINGS) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": (len(embedded), *shape)})
        for part in parts:
            file.write(np.load(part).tobytes())


def read_captions(folder: Path) -> Captions:
    """The captions of a finished latents stage with a text encoder."""
    table = read_table(folder / TABLE, CAPTIONS_SCHEMA)
    return Captions(dict(zip(table["clip_id"], table["caption"], strict=True)), dict(zip(table["clip_id"], table["row"], strict=True)),
                    np.load(folder / EMBEDDINGS, mmap_mode="r"))
