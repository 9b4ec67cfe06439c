"""Pretrained parts by name: a hub id with a pinned revision, or a local folder; checked, never replaced in silence."""

import hashlib
from pathlib import Path

from pipeline.errors import WeightsError
from pipeline.params import PretrainedParams

WEIGHTS = {".safetensors", ".pt", ".pth", ".bin"}


def resolve(pretrained: PretrainedParams, entry: str) -> Path:
    """The local folder (or file) of a pretrained part, fetched from the hub when it is not on this machine yet.

    Args:
        pretrained: `source` is a path that exists, or a hub id `owner/name` with `revision`.
        entry: key in params.yaml, for the error text.

    Raises:
        WeightsError: nothing is there and it cannot be fetched, or the weights have another hash.
    """
    source = pretrained.source or ""
    local = Path(source).expanduser()
    folder = local if local.exists() else _from_hub(pretrained, entry)
    folder = folder / pretrained.subfolder if pretrained.subfolder else folder
    if not folder.exists():
        raise WeightsError(f"params.yaml: {entry}.subfolder is {pretrained.subfolder}, which {source} does not have")
    if pretrained.sha256:
        _check_hash(folder, pretrained.sha256, entry)
    return folder


def _from_hub(pretrained: PretrainedParams, entry: str) -> Path:
    source = pretrained.source or ""
    if source.count("/") != 1 or source.startswith((".", "~")):
        raise WeightsError(f"params.yaml: {entry}.source is {source or 'null'}, which is neither a folder here nor a hub id (owner/name)")
    if not pretrained.revision:
        raise WeightsError(f"params.yaml: {entry}.revision is null; pin the commit of {source}, so that every run takes the same weights")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    folder = f"{pretrained.subfolder}/" if pretrained.subfolder else ""
    wanted = [f"{folder}*.json", f"{folder}*model.safetensors", f"{folder}*.bin", f"{folder}*.pt"]
    unwanted = ["*.fp16.*", "*non_ema*"]  # other precisions of the same weights
    try:  # what is here already, without asking the network
        local = Path(snapshot_download(source, revision=pretrained.revision, allow_patterns=wanted, local_files_only=True))
        if any(path.suffix in WEIGHTS for path in (local / folder).iterdir()):
            return local
    except (LocalEntryNotFoundError, OSError):
        pass
    try:
        return Path(snapshot_download(source, revision=pretrained.revision, allow_patterns=wanted, ignore_patterns=unwanted))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise WeightsError(
            f"params.yaml: {entry}.source {source} at {pretrained.revision} is not on this machine and could not be fetched "
            f"({type(error).__name__}); connect to the network once, or set {entry}.source to a local folder") from None


def _check_hash(folder: Path, expected: str, entry: str) -> None:
    files = [folder] if folder.is_file() else sorted(p for p in folder.iterdir() if p.suffix in WEIGHTS)
    if not files:
        raise WeightsError(f"params.yaml: {entry} points at {folder}, which holds no weights file (.safetensors, .pt, .pth, .bin)")
    found = []
    for path in files:
        with path.open("rb") as file:
            found.append(hashlib.file_digest(file, "sha256").hexdigest())
    if expected not in found:
        raise WeightsError(f"params.yaml: {entry}.sha256 is {expected[:12]}..., but {files[0].name} has {found[0][:12]}...; "
                           f"fetch the right file or correct the hash")
