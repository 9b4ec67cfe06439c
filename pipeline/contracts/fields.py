"""A member of a shard: its value, its bytes, its hash. The ending of its name is its type."""

import hashlib
import io
import json
from typing import Any

import numpy as np


def encode_field(name: str, value: Any) -> bytes:
    """The bytes of an array (`.npy`) or a dict (`.json`); what is bytes already stays."""
    if isinstance(value, bytes):
        return value
    if name.endswith(".npy"):
        stream = io.BytesIO()
        np.save(stream, np.ascontiguousarray(value), allow_pickle=False)
        return stream.getvalue()
    if name.endswith(".json"):
        return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
    raise TypeError(f"{name}: {type(value)}")


def decode_field(name: str, data: bytes) -> Any:
    """The inverse of `encode_field`; of another ending the bytes themselves."""
    if name.endswith(".npy"):
        return np.load(io.BytesIO(data), allow_pickle=False)
    return json.loads(data) if name.endswith(".json") else data


def hash16(data: bytes) -> bytes:
    """16 bytes of the sha256."""
    return hashlib.sha256(data).digest()[:16]
