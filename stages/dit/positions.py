"""Where a token lies in its modality's grid: fixed 2-D sin-cos vectors (paper 3.2), or axial rotary angles."""

import torch
from torch import Tensor

ROTARY_BASE = 100.0
"""Slowest angle per row: one radian in 100. The 10,000 of texts leaves most channels idle on grids of at most 16 x 16 (Heo et al. 2024)."""


def sin_cos_positions(height: int, width: int, channels: int) -> Tensor:
    """Fixed positions [height * width, channels] of a grid: half of the channels for the row, half for the column."""
    rates = 10000 ** (-torch.arange(channels // 4) / (channels // 4))
    angles = [position[:, None] * rates for position in grid(height, width)]
    return torch.cat([function(a) for a in angles for function in (torch.sin, torch.cos)], dim=1)


def rotary_angles(height: int, width: int, head_dim: int) -> Tensor:
    """Angles [height * width, head_dim / 2] of a grid: half of them turn with the row, half with the column."""
    rates = ROTARY_BASE ** (-torch.arange(head_dim // 4) / (head_dim // 4))
    return torch.cat([position[:, None] * rates for position in grid(height, width)], dim=1)


def grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Row and column [height * width] of every place, row by row."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return rows.flatten(), columns.flatten()


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Queries or keys [b, heads, n, d] with channels i and i + d/2 turned by angles [n, d/2] (Su et al. 2021).

    The product of a turned query and a turned key depends on their distance alone.
    """
    first, second = x.float().chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)
