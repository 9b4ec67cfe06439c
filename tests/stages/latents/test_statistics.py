"""Closed-form statistics against draws."""

import numpy as np

from stages.latents.statistics import SMALLEST_STD, ChannelStatistics


def test_statistics_are_those_of_draws() -> None:
    random = np.random.default_rng(0)
    mean = random.standard_normal((400, 2, 4, 4)) * np.array([2.0, 0.5])[:, None, None] + np.array([1.0, -3.0])[:, None, None]
    logvar = random.uniform(-2, 1, mean.shape)
    statistics = ChannelStatistics(2)
    for piece in np.split(np.concatenate([mean, logvar], axis=1), 4):
        statistics.add(piece)
    draws = mean + np.exp(logvar / 2) * random.standard_normal(mean.shape)
    assert np.allclose(statistics.mean, draws.mean(axis=(0, 2, 3)), atol=0.05)
    assert np.allclose(statistics.std, draws.std(axis=(0, 2, 3)), rtol=0.03)


def test_an_empty_channel_is_not_blown_up() -> None:
    statistics = ChannelStatistics(1)
    statistics.add(np.stack([np.zeros((3, 2, 2)), np.full((3, 2, 2), -30.0)], axis=1))
    assert statistics.std == (SMALLEST_STD,)
