"""Pretrained parts by name: a hub id with a pinned revision, a URL, or a local path; checked, never replaced in silence."""

import contextlib
import hashlib
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from pipeline.contracts.outputs import atomic_path
from pipeline.errors import AbsentWeights, WeightsError
from pipeline.params import PretrainedParams
from pipeline.progress import say

WEIGHTS = (".safetensors", ".pt", ".pth", ".bin")
"""In the order in which diffusers and transformers look for them."""
VARIANTS = (".fp16.", "non_ema")
"""Names of other precisions and versions of the same weights; nothing here loads them."""
FETCHED = ".cache/mmldm"
"""Below the user's home, what was fetched from a URL; hub ids lie in the hub's own cache."""
LONGEST_SILENCE_SEC = 60
LONGEST_WAIT_SEC = 10
"""For the hub's first answer."""


def resolve(pretrained: PretrainedParams, entry: str) -> Path:
    """The local folder (or file) of a pretrained part, fetched from the hub when it is not on this machine yet.

    Args:
        pretrained: `source` is a path that exists, a hub id `owner/name` with `revision`, or a URL with `sha256` (or with the commit of a
            hub repository in it).
        entry: key in params.yaml, for the error text.

    Raises:
        AbsentWeights: nothing is there and it cannot be fetched.
        WeightsError: the entry is not usable, or the weights have another hash.
    """
    source = pretrained.source or ""
    if source.startswith(("https://", "http://")):
        return _from_url(pretrained, entry)
    local = Path(source).expanduser()
    folder = local if local.exists() else _from_hub(pretrained, entry)
    folder = folder / pretrained.subfolder if pretrained.subfolder else folder
    if not folder.exists():
        raise WeightsError(f"params.yaml: {entry}.subfolder is {pretrained.subfolder}, which {source} does not have; "
                           "correct it, or set it to null")
    if pretrained.sha256:
        _check_hash(weights_file(folder, entry), pretrained.sha256, entry)
    return folder


def weights_file(folder: Path, entry: str) -> Path:
    """The one file of weights that is loaded from what `resolve` found.

    Raises:
        WeightsError: there is none.
    """
    files = [folder] if folder.is_file() else sorted(
        (p for p in folder.iterdir() if p.suffix in WEIGHTS and not any(variant in p.name for variant in VARIANTS)),
        key=lambda path: (WEIGHTS.index(path.suffix), path.name))
    if not files:
        raise WeightsError(f"params.yaml: {entry} points at {folder}, which holds no weights file ({', '.join(WEIGHTS)}); "
                           f"set {entry}.subfolder to the folder inside it that does")
    return files[0]


def open_transformers(class_name: str, folder: Path, entry: str, wanted: str, way_out: str = "") -> Any:
    """A network of transformers from a folder, float32, in eval mode; refused when a weight is missing, which the library would make up.

    Args:
        class_name: of the network, such as "CLIPTextModel".
        folder: as `resolve` gives it.
        entry: key in params.yaml, for the error text.
        wanted: what should lie there, likewise.
        way_out: what else the user can do, likewise.

    Raises:
        WeightsError: it is something else, or damaged.
    """
    from safetensors import SafetensorError

    def not_usable(why: str) -> WeightsError:
        return WeightsError(f"params.yaml: {entry}: {folder} does not hold {wanted} ({why}); fetch it again{way_out}")

    try:
        with quiet_transformers() as transformers:
            model, loading = getattr(transformers, class_name).from_pretrained(
                folder, dtype="float32", output_loading_info=True, ignore_mismatched_sizes=True, local_files_only=True)
    except (OSError, RuntimeError, ValueError, SafetensorError, UnpicklingError) as error:
        raise not_usable(" ".join(str(error).split())[:200]) from None
    wrong = sorted([*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])])
    if wrong:
        raise not_usable(f"{len(wrong)} of its weights are missing or of another shape, such as {wrong[0]}")
    return model.eval()


@contextlib.contextmanager
def quiet_transformers() -> Iterator[Any]:
    """The library without its progress bars and its table of what does not fit: a WeightsError says it in a line."""
    import transformers

    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield transformers
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _from_url(pretrained: PretrainedParams, entry: str) -> Path:
    """The file behind a URL, fetched once; one with another hash is not kept."""
    url = str(pretrained.source)
    if not pretrained.sha256 and not re.search(r"/[0-9a-f]{40}/", url):
        raise WeightsError(f"params.yaml: {entry}.sha256 is null; pin the hash of what lies at {url}, or fetch it yourself and set "
                           f"{entry}.source to the file")
    name = Path(urllib.parse.unquote(urllib.parse.urlparse(url).path)).name or "weights.pt"
    file = Path.home() / FETCHED / hashlib.sha256(url.encode()).hexdigest()[:16] / name
    if not file.is_file():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(file) as temporary:
                with urllib.request.urlopen(url, timeout=LONGEST_SILENCE_SEC) as answer, temporary.open("wb") as stream:
                    shutil.copyfileobj(answer, stream, 2**20)
                if pretrained.sha256:
                    _check_hash(temporary, pretrained.sha256, entry)
        except (urllib.error.URLError, OSError, ValueError) as error:
            file.with_name(f".{file.name}.tmp").unlink(missing_ok=True)
            if isinstance(error, WeightsError):
                raise
            raise AbsentWeights(f"params.yaml: {entry}.source {url} is not on this machine and could not be fetched "
                                f"({type(error).__name__}); connect to the network once, or set {entry}.source to a local file") from None
    if pretrained.sha256:
        _check_hash(file, pretrained.sha256, entry)
    return file


def _from_hub(pretrained: PretrainedParams, entry: str) -> Path:
    source = pretrained.source or ""
    if source.count("/") != 1 or source.startswith((".", "~")):
        raise WeightsError(f"params.yaml: {entry}.source is {source or 'null'}, which is neither a folder here nor a hub id (owner/name)")
    if not pretrained.revision:
        raise WeightsError(f"params.yaml: {entry}.revision is null; pin the commit of {source}, so that every run takes the same weights")
    folder = f"{pretrained.subfolder}/" if pretrained.subfolder else ""
    # Of a repository with the same weights in both forms, the second is not fetched.
    forms = [[f"{folder}*.json", f"{folder}*model.safetensors"], [f"{folder}*.json", f"{folder}*.bin", f"{folder}*.pt", f"{folder}*.pth"]]
    for local_only in (True, False):  # what is here already, without asking the network
        for wanted in forms:
            found = _snapshot(pretrained, wanted, local_only, entry)
            if found and (found / folder).is_dir() and any(path.suffix in WEIGHTS for path in (found / folder).iterdir()):
                return found
    raise WeightsError(f"params.yaml: {entry}.source {source} at {pretrained.revision} has no weights in {folder or 'its top folder'}; "
                       f"correct {entry}.source or {entry}.subfolder")


def _snapshot(pretrained: PretrainedParams, wanted: list[str], local_only: bool, entry: str) -> Path | None:
    """The hub's cached folder with the wanted files; None: not here, and the network was not to be asked."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        if not local_only:
            _require_hub()
            say("weights", f"fetching {pretrained.source} from the hub, for {entry}")
        return Path(snapshot_download(str(pretrained.source), revision=pretrained.revision, allow_patterns=wanted,
                                      ignore_patterns=[f"*{variant}*" for variant in VARIANTS], local_files_only=local_only))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        if local_only:
            return None
        raise AbsentWeights(
            f"params.yaml: {entry}.source {pretrained.source} at {pretrained.revision} is not on this machine and could not be fetched "
            f"({type(error).__name__}); connect to the network once, or set {entry}.source to a local folder") from None


@cache
def _hub_is_silent() -> str:
    """Why the hub cannot be reached, "" when it can: the library itself tries for a minute, of each of its parts anew."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        with urllib.request.urlopen(constants.ENDPOINT, timeout=LONGEST_WAIT_SEC):
            return ""
    except urllib.error.HTTPError:
        return ""
    except OSError as error:
        return type(error).__name__


def _require_hub() -> None:
    """Raises:
        ConnectionError: the hub cannot be reached.
    """
    if _hub_is_silent():
        raise ConnectionError(_hub_is_silent())


def _check_hash(file: Path, expected: str, entry: str) -> None:
    """`expected` may be the beginning of the hash, as file names carry it (r3d_18-b3b3357e.pth)."""
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if not found.startswith(expected.lower()):
        raise WeightsError(f"params.yaml: {entry}.sha256 is {expected[:12]}..., but {file.name} has {found[:12]}...; "
                           f"fetch the right file or correct the hash")
