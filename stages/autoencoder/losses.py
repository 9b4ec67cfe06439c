"""The losses of Eq. (1) to (3)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.shared_batch import rows_of_all
from stages.autoencoder.encoders import Posterior


def kl_divergence(posterior: Posterior) -> Tensor:
    """KL(N(mean, exp(logvar)) || N(0, 1)), summed over a latent's elements, mean over the batch, in nats."""
    mean, logvar = posterior.mean, posterior.logvar
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).flatten(1).sum(dim=1).mean()


def contrastive_loss(audio: Tensor, video: Tensor, scale: Tensor) -> Tensor:
    """Symmetric InfoNCE, Eq. (1), over the global batch: mean per item instead of the printed sum.

    Args:
        audio, video: unit vectors [b, d] of matched pairs.
        scale: tau, a positive factor on the similarities.
    """
    logits = scale * rows_of_all(audio) @ rows_of_all(video).T
    target = torch.arange(len(logits), device=logits.device)
    return 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))


def triples(audio: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """<a, v_i, v_j> for the discriminator: images [b, 3, H, W] each -> [b, 3 slots, 3, H, W]."""
    return torch.stack([audio, first, second], dim=1)


def fake_triples(real: Tensor, fake: Tensor, combination: Literal["printed", "published"]) -> Tensor:
    """The four fakes of Eq. (2), one after the other.

    Args:
        real: <a, v_i, v_j> [b, 3, 3, H, W].
        fake: <a~, v~i, v~j>, same shape.
        combination: the fourth is <a~, v~i, v~i> as printed, or <a~, v~j, v~i> as in the authors' code.

    Returns:
        [4 b, 3, 3, H, W].
    """
    (_, v_i, v_j), (a_, v_i_, v_j_) = real.unbind(dim=1), fake.unbind(dim=1)
    fourth = (v_i_, v_i_) if combination == "printed" else (v_j_, v_i_)
    return torch.cat([fake, triples(a_, v_i_, v_j), triples(a_, v_i, v_j_), triples(a_, *fourth)])


def discriminator_hinge(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Hinge form of L_GAN^D: the mean over fakes weighs as much as the mean over reals."""
    return 0.5 * (F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean())


def generator_hinge(fake_logits: Tensor) -> Tensor:
    """Hinge form of L_GAN^AE: the triple of decoded images is to pass as real."""
    return -fake_logits.mean()
