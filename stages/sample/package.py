"""An exported model on disk: `model_index.json` names the parts (as diffusers' pipelines do) and the hash of every file that is read.

    model_index.json   parts: [library, class]; sha256 by file
    settings.json      window, mel, audio image, vocoder, sampling (`stages.sample.trained.Settings`)
    README.md          the model card; free to be edited
    klvae/ autoencoder/ dit/ scheduler/ vocoder/ text_encoder/      safetensors and config; the last two where they have weights
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import diffusers

from pipeline.contracts.outputs import hash_file, write_text
from pipeline.errors import WeightsError

INDEX, SETTINGS, CARD = "model_index.json", "settings.json", "README.md"
FORMAT = 1
READ = (".safetensors", ".json", ".txt")
"""Endings of the files of a part; nothing in them can run."""


def write_index(folder: Path, parts: Mapping[str, Sequence[str]]) -> None:
    """Write `model_index.json` over the files that lie there.

    Args:
        parts: library and class by subfolder; all of them exist.
    """
    hashes = {name: hash_file(folder / name) for name in [SETTINGS, *_files(folder, parts)]}
    index = {"_class_name": "MMLDM", "_diffusers_version": diffusers.__version__, **parts, "_mmldm_format": FORMAT, "_sha256": hashes}
    write_text(folder / INDEX, json.dumps(index, indent=1) + "\n")


def require_undamaged(folder: Path) -> None:
    """Compare every file of an exported model with its hash.

    Raises:
        WeightsError: it is none, of another format, or a file is missing, added or changed.
    """
    if not (folder / INDEX).is_file():
        raise WeightsError(f"{folder} holds no exported model (no {INDEX}); write one with: mmldm export --out FOLDER")
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        version, hashes = index.get("_mmldm_format"), dict(index.get("_sha256", {}))
        parts = [name for name in index if not name.startswith("_")]
    except (ValueError, AttributeError, TypeError):
        raise WeightsError(f"{folder / INDEX} cannot be read; copy the folder again from where it was exported") from None
    if version != FORMAT:
        raise WeightsError(f"{folder} is of format {version or 'unknown'}, expected {FORMAT}; export it again with this version")
    for name, expected in hashes.items():
        found = hash_file(folder / name) if (folder / name).is_file() else ""
        if found != expected:
            state = f"has sha256 {found[:12]}..., {str(expected)[:12]}... in {INDEX}" if found else "is missing"
            raise WeightsError(f"{folder / name} {state}; copy the folder again from where it was exported")
    for name in _files(folder, parts):
        if name not in hashes or not name.endswith(READ):
            raise WeightsError(f"{folder / name} is no part of the exported model; remove it, or copy the folder again")


def _files(folder: Path, parts: Sequence[str] | Mapping[str, object]) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for part in parts for path in (folder / part).rglob("*") if path.is_file())
