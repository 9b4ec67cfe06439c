"""A member of a shard: its value, its bytes, its hash. The ending of its name is its type."""

import hashlib
import io
import json
from typing import Any

import numpy as np

Parts = tuple[bytes | memoryview, ...]
"""Bytes that follow one another and lie apart in memory: frames are too many to be copied behind their header."""


def encode_field(name: str, value: Any) -> Parts:
    """The bytes of an array (`.npy`, what np.save writes) or a dict (`.json`); what is bytes already stays."""
    if isinstance(value, bytes):
        return (value,)
    if name.endswith(".npy"):
        array, head = np.ascontiguousarray(value), io.BytesIO()
        np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(array))
        return head.getvalue(), array.reshape(-1).view(np.uint8).data
    if name.endswith(".json"):
        return (json.dumps(value, sort_keys=True, ensure_ascii=False).encode(),)
    raise TypeError(f"{name}: {type(value)}")


def decode_field(name: str, data: bytes) -> Any:
    """The inverse of `encode_field`; of another ending the bytes themselves."""
    if name.endswith(".npy"):
        return np.load(io.BytesIO(data), allow_pickle=False)
    return json.loads(data) if name.endswith(".json") else data


def hash16(*parts: bytes | memoryview) -> bytes:
    """16 bytes of the sha256 of all parts together."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()[:16]
