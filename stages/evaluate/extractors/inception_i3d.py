"""Inflated Inception-v1 (I3D) with 400 logits, its names those of the published `i3d_pretrained_400.pt` (Carreira and Zisserman 2017).

Legend: b batch, c channels, t frames, h w picture. Every convolution and pooling pads as TensorFlow's SAME does, by the size of what
comes in: an odd pixel goes to the end.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NUM_LOGITS = 400
MIXED = {
    "Mixed_3b": (192, (64, 96, 128, 16, 32, 32)), "Mixed_3c": (256, (128, 128, 192, 32, 96, 64)),
    "Mixed_4b": (480, (192, 96, 208, 16, 48, 64)), "Mixed_4c": (512, (160, 112, 224, 24, 64, 64)),
    "Mixed_4d": (512, (128, 128, 256, 24, 64, 64)), "Mixed_4e": (512, (112, 144, 288, 32, 64, 64)),
    "Mixed_4f": (528, (256, 160, 320, 32, 128, 128)),
    "Mixed_5b": (832, (256, 160, 320, 32, 128, 128)), "Mixed_5c": (832, (384, 192, 384, 48, 128, 128)),
}
"""Block -> channels in, and out of its convolutions: 1x1; 1x1 and 3x3; 1x1 and 3x3; 1x1 after pooling."""


class InceptionI3d(nn.Module):
    """Videos to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, stride=2)
        self.Conv3d_2b_1x1 = Unit(64, 64, 1)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3)
        for name, (channels, widths) in MIXED.items():
            self.add_module(name, Mixed(channels, widths))
        self.logits = Unit(1024, NUM_LOGITS, 1, plain=True)

    def forward(self, x: Tensor) -> Tensor:
        """x float32 [b, 3, t, 224, 224] in [-1, 1], t of 9 or more -> [b, 400], the mean over time."""
        x = pooled(self.Conv3d_1a_7x7(x), (1, 3, 3), (1, 2, 2))                    # (b, 64, t/2, 56, 56)
        x = pooled(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), (1, 3, 3), (1, 2, 2))   # (b, 192, t/2, 28, 28)
        x = pooled(self._through(x, "Mixed_3"), (3, 3, 3), (2, 2, 2))              # (b, 480, t/4, 14, 14)
        x = pooled(self._through(x, "Mixed_4"), (2, 2, 2), (2, 2, 2))              # (b, 832, t/8, 7, 7)
        x = F.avg_pool3d(self._through(x, "Mixed_5"), (2, 7, 7), stride=1)         # (b, 1024, t/8 - 1, 1, 1)
        return self.logits(x).flatten(2).mean(2)

    def _through(self, x: Tensor, level: str) -> Tensor:
        for name in MIXED:
            if name.startswith(level):
                x = getattr(self, name)(x)
        return x


class Mixed(nn.Module):
    """Four branches side by side."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.b0 = Unit(channels, widths[0], 1)
        self.b1a, self.b1b = Unit(channels, widths[1], 1), Unit(widths[1], widths[2], 3)
        self.b2a, self.b2b = Unit(channels, widths[3], 1), Unit(widths[3], widths[4], 3)
        self.b3b = Unit(channels, widths[5], 1)

    def forward(self, x: Tensor) -> Tensor:
        """[b, c, t, h, w] -> [b, sum of the branches, t, h, w]."""
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled(x, (3, 3, 3), (1, 1, 1)))], dim=1)


class Unit(nn.Module):
    """Convolution, batch normalisation, ReLU; or a convolution with bias alone."""

    def __init__(self, channels: int, out_channels: int, kernel: int, stride: int = 1, plain: bool = False) -> None:
        super().__init__()
        self.kernel, self.stride, self.plain = (kernel,) * 3, (stride,) * 3, plain
        self.conv3d = nn.Conv3d(channels, out_channels, kernel, stride=stride, bias=plain)
        if not plain:
            self.bn = nn.BatchNorm3d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv3d(padded_same(x, self.kernel, self.stride))
        return x if self.plain else F.relu(self.bn(x))


def pooled(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    """Max pooling; the padding is zeros, as the published network pads (what is pooled is never below zero)."""
    return F.max_pool3d(padded_same(x, kernel, stride), kernel, stride)


def padded_same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """x [b, c, t, h, w] with zeros around it so that ceil(size / stride) places come out on each axis."""
    pads: list[int] = []
    for size, k, s in zip(reversed(x.shape[2:]), reversed(kernel), reversed(stride), strict=True):
        whole = max(k - (s if size % s == 0 else size % s), 0)
        pads += [whole // 2, whole - whole // 2]
    return F.pad(x, pads)
