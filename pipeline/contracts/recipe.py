"""How a piece of a stage's output was made, as a hash: the code that makes it, its settings, the libraries' versions.

A stage that takes finished pieces over from its last output (shard_writer.py) knows them by this hash and by what went in. So
an edit of anything that the making code imports, of a setting or of a library's version makes every piece anew, and an edit
of other code none.
"""

import hashlib
import json
from collections.abc import Mapping

from pipeline.contracts.outputs import versions
from pipeline.contracts.source_code import code_hash, source_file
from pipeline.params_reader import to_values

ALWAYS = "pipeline.contracts.fields"
"""Every piece is written through it."""


def recipe(module: str, params: Mapping[str, object]) -> str:
    """Hash (hexadecimal) of all but the input.

    Args:
        module: that makes the pieces, such as "stages.decode.clip_reader"; with it counts every module of the project that it imports.
        params: the settings that decide what it makes (dataclasses or plain values), by name.
    """
    code = code_hash([source_file(module), source_file(ALWAYS)])
    settings = {name: to_values(section) for name, section in params.items()}
    return hashlib.sha256(json.dumps([code, settings, versions()], sort_keys=True).encode()).hexdigest()


def address(made_by: str, *made_from: object) -> bytes:
    """16 bytes that name a piece's content: its recipe and what went in (values that JSON can write)."""
    return hashlib.sha256(json.dumps([made_by, *made_from], sort_keys=True).encode()).digest()[:16]
