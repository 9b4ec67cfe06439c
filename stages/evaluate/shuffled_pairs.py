"""Which picture is put beside which sound to learn what chance gives: another clip's, of the same class and never of one source.

Two windows of one video sound alike and are often in step with each other (a beat goes on, a lamp flashes by the clock), so that a
floor with such pairs in it stands too high.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.seeds import derive_seed

PARTNERS = 5
"""Other sounds that each picture is put beside, where there are so many."""


def strangers(class_ids: Sequence[int], sources: Sequence[str], seed: int) -> np.ndarray:
    """Pairs of windows of different sources, alike in class where that is possible.

    Args:
        class_ids: of each window.
        sources: of each window, what it belongs to.
        seed: root seed.

    Returns:
        int64 [pairs, 2], (picture, sound), by picture; a window has PARTNERS partners, or as many as there are. Where its class has
        no other source they are of other classes, and where there is no other source at all it has none.
    """
    classes, belongs = np.asarray(class_ids), np.asarray(sources)
    random = np.random.default_rng(derive_seed(seed, "evaluate", "shuffled pairs"))
    pairs = []
    for i in range(len(classes)):
        others = belongs != belongs[i]
        alike = np.flatnonzero(others & (classes == classes[i]))
        candidates = alike if len(alike) else np.flatnonzero(others)
        pairs += [(i, j) for j in np.sort(random.permutation(candidates)[:PARTNERS])]
    return np.array(pairs, np.int64).reshape(-1, 2)
