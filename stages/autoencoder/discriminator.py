"""The spatio-temporal discriminator over <audio image, frame i, frame j> (paper 3.1, Eq. 2).

Shapes: b batch, t = 3 slots, H W the image's side.
"""

import torch
from torch import Tensor, nn

from pipeline.params import DiscriminatorParams
from stages.autoencoder.blocks import Attention, Pattern, ResidualBlock, convolution, group_norm

HEAD_DIM = 16


class Discriminator(nn.Module):
    """One judgement of a triple: each image's realism and whether the three belong together.

    At maps of `full_attention_max_px` or smaller every place of every slot sees every other (cross-modal full
    attention); at larger ones each place sees itself in the other slots.
    """

    def __init__(self, params: DiscriminatorParams, image_side: int) -> None:
        super().__init__()
        widths = [params.base_channels * mult for mult in params.channel_mult]
        self.conv_in = convolution(3, widths[0], (1, 3, 3))
        self.slots = nn.Parameter(0.02 * torch.randn(widths[0], 3, 1, 1))
        layers: list[nn.Module] = []
        channels, side = widths[0], image_side
        for level, width in enumerate(widths):
            layers.append(ResidualBlock(channels, width, "full"))
            pattern: Pattern = "full" if side <= params.full_attention_max_px else "temporal"
            layers.append(Attention(width, min(HEAD_DIM, width), pattern))
            if level < len(widths) - 1:
                layers.append(convolution(width, width, (1, 3, 3), stride=2))
                side = (side + 1) // 2
            channels = width
        self.body = nn.Sequential(*layers)
        self.norm = group_norm(channels)
        self.out = nn.Linear(channels, 1)

    def forward(self, triples: Tensor) -> Tensor:
        """Images [b, 3 slots, 3 colours, H, W] in [-1, 1] -> logits [b], high for real."""
        x = self.conv_in(triples.transpose(1, 2)) + self.slots                  # (b, d, 3, H, W)
        x = nn.functional.silu(self.norm(self.body(x)))                         # (b, d', 3, H', W')
        return self.out(x.mean(dim=(2, 3, 4)))[:, 0]                            # (b,)
