"""Eq. (1) to (3) against independent code."""

from typing import Literal

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from stages.autoencoder import losses
from stages.autoencoder.encoders import Posterior


def test_kl_is_torchs_kl_summed_over_the_latent() -> None:
    torch.manual_seed(0)
    mean, logvar = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    expected = kl_divergence(Normal(mean, (0.5 * logvar).exp()), Normal(0, 1)).sum(dim=(1, 2, 3)).mean()
    assert torch.allclose(losses.kl_divergence(Posterior(mean, logvar)), expected)


def test_contrastive_loss_is_the_mean_of_both_directions_of_the_printed_sum() -> None:
    torch.manual_seed(0)
    audio, video = (torch.nn.functional.normalize(torch.randn(5, 8), dim=1) for _ in range(2))
    tau = torch.tensor(7.0)
    total = 0.0
    for i in range(5):  # Eq. (1), term by term
        for own, others in ((audio, video), (video, audio)):
            similarities = torch.stack([torch.exp(tau * own[i] @ others[j]) for j in range(5)])
            total -= 0.5 * float(torch.log(similarities[i] / similarities.sum()))
    assert float(losses.contrastive_loss(audio, video, tau)) == pytest.approx(total / 5, rel=1e-5)


def test_contrastive_loss_prefers_matched_pairs() -> None:
    vectors = torch.eye(4)
    matched = losses.contrastive_loss(vectors, vectors, torch.tensor(10.0))
    assert matched < losses.contrastive_loss(vectors, vectors.roll(1, 0), torch.tensor(10.0))


@pytest.mark.parametrize(("combination", "fourth"), [("printed", "a v v"), ("published", "a w v")])
def test_fakes_are_the_four_of_the_paper(combination: Literal["printed", "published"], fourth: str) -> None:
    real = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1, 1)      # a, v_i, v_j
    fake = -real
    found = losses.fake_triples(real, fake, combination).flatten(1).tolist()
    last = {"a v v": [-1.0, -2.0, -2.0], "a w v": [-1.0, -3.0, -2.0]}[fourth]
    assert found == [[-1, -2, -3], [-1, -2, 3], [-1, 2, -3], last]


def test_hinge_is_zero_for_a_sure_judge_and_the_generator_climbs() -> None:
    assert float(losses.discriminator_hinge(torch.tensor([1.5]), torch.tensor([-2.0]))) == 0
    assert float(losses.discriminator_hinge(torch.tensor([0.0]), torch.tensor([0.0]))) == 1
    assert losses.generator_hinge(torch.tensor([2.0])) < losses.generator_hinge(torch.tensor([1.0]))
