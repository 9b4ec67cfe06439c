"""Seeds derived from one root by name, so that order, batch size and worker count change nothing."""

import hashlib

MAX_SEED = 2**62
"""Largest `seed` that a user can give; a table's int64 holds it with the number of a sample added."""


def derive_seed(root: int, *parts: str | int) -> int:
    """A stable 63-bit seed for one thing (a clip, a training step, a sample).

    Args:
        root: `seed` of params.yaml.
        parts: what the seed is for, outermost first: ("dit", step, rank), ("demo_data", "bounce", 12).

    Returns:
        An integer in [0, 2**63); equal on every machine and Python (unlike `hash`).
    """
    text = "/".join(str(part) for part in (root, *parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
