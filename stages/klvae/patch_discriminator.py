"""The patch discriminator that the KL-VAE is trained against: PatchGAN (Isola et al. 2017), as in latent diffusion.

Shapes: b images, k side of the map of logits (3 layers: each sees 70 x 70 px, 256 px give 30 x 30 logits).
"""

from itertools import pairwise

from torch import Tensor, nn

from pipeline.params import PatchDiscriminatorParams
from pipeline.processes import world_size
from pipeline.shared_batch import mean_over_all

KERNEL = 4


class PatchDiscriminator(nn.Module):
    """One logit per overlapping patch: real or decoded."""

    def __init__(self, params: PatchDiscriminatorParams) -> None:
        super().__init__()
        widths = [params.base_channels * min(2**i, 8) for i in range(params.num_layers + 1)]
        layers: list[nn.Module] = [nn.Conv2d(3, widths[0], KERNEL, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for i, (channels, width) in enumerate(pairwise(widths), start=1):
            stride = 2 if i < params.num_layers else 1
            # No bias before a norm. Statistics are those of the batch, always: real and decoded images go through apart.
            layers += [nn.Conv2d(channels, width, KERNEL, stride, padding=1, bias=False), BatchNorm(width), nn.LeakyReLU(0.2)]
        layers.append(nn.Conv2d(widths[-1], 1, KERNEL, padding=1))
        self.layers = nn.Sequential(*layers)
        self.apply(_init_weights)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [b, 1, k, k] of images [b, 3, H, W] in about [-1, 1]."""
        return self.layers(images)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the items of all processes; torch's own for several of them works on GPUs alone."""

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, h, w], same out."""
        if world_size() == 1:
            return super().forward(x)
        axes = (0, 2, 3)
        centred = x - mean_over_all(x.mean(axes, keepdim=True))
        deviation = (mean_over_all(centred.square().mean(axes, keepdim=True)) + self.eps).sqrt()
        return centred / deviation * self.weight[:, None, None] + self.bias[:, None, None]


def _init_weights(module: nn.Module) -> None:
    """DCGAN's, which the original keeps: small, so that no patch is judged at first."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
