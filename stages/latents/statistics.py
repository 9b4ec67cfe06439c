"""Per-channel statistics of the training latents, in float64, from their moments in closed form.

A draw is mean + exp(logvar / 2) n; over the windows and places of a channel its mean is the mean of the means, and its
variance the variance of the means plus the mean of the posterior variances: exact, where drawing would only estimate it.
"""

import numpy as np

SMALLEST_STD = 1e-3
"""A channel that the KL term has emptied is not blown up beyond this."""


class ChannelStatistics:
    """Running mean and standard deviation by channel of posterior draws."""

    def __init__(self, channels: int) -> None:
        self.count = 0
        self.first, self.second, self.posterior = (np.zeros(channels) for _ in range(3))

    def add(self, moments: np.ndarray) -> None:
        """Take up moments [b, 2C, h, w] (mean, log-variance)."""
        mean, logvar = np.split(moments.astype(np.float64), 2, axis=1)
        self.count += mean[:, 0].size
        self.first += mean.sum(axis=(0, 2, 3))
        self.second += np.square(mean).sum(axis=(0, 2, 3))
        self.posterior += np.exp(logvar).sum(axis=(0, 2, 3))

    @property
    def mean(self) -> tuple[float, ...]:
        """By channel, six digits."""
        return _rounded(self.first / self.count)

    @property
    def std(self) -> tuple[float, ...]:
        """By channel, six digits."""
        between = self.second / self.count - np.square(self.first / self.count)
        return _rounded(np.sqrt(np.maximum(between, 0) + self.posterior / self.count).clip(min=SMALLEST_STD))


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in values)
