"""Figures of a classifier's probabilities: inception score, and the divergence of paired clips (KL, also written MKL).

Salimans et al. 2016 for the score; the divergence as av-benchmark and its predecessors measure sound: mean over pairs of
KL(real || generated) between the class probabilities of a real clip and of what was generated for it.
"""

import numpy as np

SPLITS = 10
"""Parts into which the samples are divided for the inception score; its deviation over them is published beside it."""


def inception_score(log_probabilities: np.ndarray, splits: int = SPLITS) -> np.ndarray:
    """exp of the mean KL(p(y|x) || p(y)), for each of `splits` equal parts.

    Args:
        log_probabilities: [n, classes], each row's exp sums to 1; in an order that is a fair shuffle, n a multiple of nothing.

    Returns:
        [splits], each from 1 (no sample differs from another) to the number of classes; publish the mean.

    Raises:
        ValueError: fewer than two samples a part.
    """
    logs = np.asarray(log_probabilities, np.float64)
    if len(logs) < 2 * splits:
        raise ValueError(f"the inception score needs {2 * splits} samples for {splits} parts, got {len(logs)}")
    scores = []
    for part in np.array_split(logs, splits):
        marginal = np.log(np.maximum(np.exp(part).mean(0), np.finfo(np.float64).tiny))
        scores.append(np.exp((np.exp(part) * (part - marginal)).sum(1).mean()))
    return np.array(scores)


def paired_divergence(real_log_probabilities: np.ndarray, log_probabilities: np.ndarray) -> np.ndarray:
    """KL(real || generated) of each pair, [n], 0 or more.

    Args:
        real_log_probabilities: [n, classes] of the real clips.
        log_probabilities: [n, classes] of what was generated for each of them.
    """
    real, made = (np.asarray(logs, np.float64) for logs in (real_log_probabilities, log_probabilities))
    if real.shape != made.shape:
        raise ValueError(f"the divergence of pairs needs equal shapes, got {real.shape} and {made.shape}")
    return np.maximum((np.exp(real) * (real - made)).sum(1), 0.0)
