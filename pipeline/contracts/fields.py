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
        array, head = np.ascontiguousarray(value), io.BytesIO()
        np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(array))
        return b"".join([head.getvalue(), array.data])  # what np.save writes, copied once and not three times
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
