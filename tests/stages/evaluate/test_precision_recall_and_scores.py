"""Precision, recall, coverage, inception score, divergence, FAD-infinity."""

import numpy as np
import pytest
import torch

from stages.evaluate.class_scores import inception_score, paired_divergence
from stages.evaluate.fad import fad_infinity, per_sample_fad
from stages.evaluate.frechet import frechet_distance, gaussian_frechet_distance
from stages.evaluate.precision_recall import likeness, squared_distances


def test_by_hand_on_a_line() -> None:
    # k = 1: the reference's balls have radius 1 around 0 and 1, and 9 around 10; the samples' have 29.5 around 0.5, 1 around 30 and 31.
    found = likeness(np.array([[0.5], [30.0], [31.0]]), np.array([[0.0], [1.0], [10.0]]), neighbours=1)
    assert found.precision.tolist() == [True, False, False]
    assert found.recall.tolist() == [True, True, True]
    assert found.coverage.tolist() == [True, True, False]


def test_same_far_and_narrow_clouds() -> None:
    random = np.random.default_rng(0)
    reference = random.normal(size=(300, 4))
    same = likeness(random.normal(size=(300, 4)), reference)
    far = likeness(random.normal(size=(300, 4)) + 50, reference)
    narrow = likeness(0.1 * random.normal(size=(300, 4)), reference)
    assert min(same.precision.mean(), same.recall.mean(), same.coverage.mean()) > 0.85
    assert max(far.precision.mean(), far.recall.mean(), far.coverage.mean()) == 0
    assert narrow.precision.mean() == 1 and narrow.recall.mean() < 0.1 and narrow.coverage.mean() < 0.5
    identical = likeness(reference, reference)
    assert identical.precision.all() and identical.recall.all() and identical.coverage.all()
    with pytest.raises(ValueError, match="more than 5 rows"):
        likeness(reference[:5], reference)


def test_distances_keep_their_digits_far_from_the_origin() -> None:
    x, y = np.random.default_rng(1).normal(size=(2, 20, 6)) + 1e6
    expected = torch.cdist(torch.from_numpy(x), torch.from_numpy(y), compute_mode="donot_use_mm_for_euclid_dist") ** 2
    assert squared_distances(x, y) == pytest.approx(expected.numpy(), rel=1e-6)


def test_inception_score_of_certain_uniform_and_equal_predictions() -> None:
    certain = np.log(np.maximum(np.eye(4)[np.arange(400) % 4], 1e-12))
    assert inception_score(certain).mean() == pytest.approx(4, rel=1e-6)
    assert inception_score(np.log(np.full((400, 4), 0.25))).mean() == pytest.approx(1)
    # Half the samples say (3/4, 1/4), half (1/4, 3/4): exp(3/4 ln 3/2 + 1/4 ln 1/2)
    mixed = np.log(np.array([[0.75, 0.25], [0.25, 0.75]] * 100))
    assert inception_score(mixed).mean() == pytest.approx(np.exp(0.75 * np.log(1.5) + 0.25 * np.log(0.5)), rel=1e-9)
    with pytest.raises(ValueError, match="20 samples"):
        inception_score(mixed[:10])


def test_divergence_of_pairs_is_that_of_torch_and_zero_for_equal_ones() -> None:
    random = torch.Generator().manual_seed(0)
    real, made = (torch.log_softmax(torch.randn(7, 5, generator=random, dtype=torch.float64), dim=1) for _ in range(2))
    expected = torch.nn.functional.kl_div(made, real, reduction="none", log_target=True).sum(1)
    assert paired_divergence(real.numpy(), made.numpy()) == pytest.approx(expected.numpy(), rel=1e-9)
    assert paired_divergence(real.numpy(), real.numpy()) == pytest.approx(0, abs=1e-12)


def test_fad_infinity_takes_out_the_bias_of_small_sets() -> None:
    random = np.random.default_rng(2)
    mean, scale = np.full(16, 0.3), np.linspace(0.5, 1.5, 16)
    truth = gaussian_frechet_distance(mean, np.diag(scale ** 2), np.zeros(16), np.eye(16))
    samples, reference = mean + scale * random.normal(size=(400, 16)), random.normal(size=(60_000, 16))
    assert abs(fad_infinity(samples, reference, 1, min_rows=60) - truth) < 0.4 * abs(frechet_distance(samples[:100], reference) - truth)
    with pytest.raises(ValueError, match="1000 rows"):
        fad_infinity(samples, reference, 1)


def test_fad_of_each_sample_finds_the_outlier_and_allows_a_single_window() -> None:
    random = np.random.default_rng(3)
    reference, samples = random.normal(size=(200, 5)), random.normal(size=(6, 9, 5))
    samples[4] += 8
    assert per_sample_fad(samples, reference).argmax() == 4
    assert per_sample_fad(samples, reference)[0] == frechet_distance(samples[0], reference)
    single = per_sample_fad(samples[:, :1], reference)
    covariance = np.cov(reference, rowvar=False)
    assert single[2] == pytest.approx(gaussian_frechet_distance(samples[2, 0], np.zeros((5, 5)), reference.mean(0), covariance), rel=1e-9)
