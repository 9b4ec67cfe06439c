"""A batch that several processes share: own items, own part of random draws, values over all items.

A batch is that of all processes together: item i is taken by process i mod world_size. All processes seed torch's global
generator alike and draw for everyone, then keep their own rows; so the number of processes changes nothing but rounding.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from pipeline.processes import rank, world_size

Item = TypeVar("Item")


def own(items: Sequence[Item]) -> Sequence[Item]:
    """The items of a whole batch that this process takes."""
    return items[rank()::world_size()]


def own_rows(draw: Callable[[int], Tensor], *rows: int, items: int | None = None) -> Tensor:
    """This process's rows of a tensor drawn for the items of all processes.

    Args:
        draw: number of rows -> a tensor with so many, from torch's global generator.
        rows: of each stretch of this process's tensor, a multiple of `items`: (b, 3 b) is a row for each item, then three for each.
        items: of this process; None: rows[0].

    Returns:
        [sum of rows, ...].
    """
    size = world_size()
    drawn = draw(size * sum(rows))
    if size == 1:
        return drawn
    count = rows[0] if items is None else items
    stretches = drawn.split([size * stretch for stretch in rows])
    return torch.cat([s.unflatten(0, (count, size, -1))[:, rank()].flatten(0, 1) for s in stretches])


def own_noise(like: Tensor, *rows: int, items: int | None = None) -> Tensor:
    """Standard normal noise of the shape of `like`; see `own_rows`, whose `rows` are here all of one stretch when not given."""
    def draw(count: int) -> Tensor:  # contiguous whatever `like` is: the same numbers in every memory format
        return torch.randn(count, *like.shape[1:], dtype=like.dtype, device=like.device)

    return own_rows(draw, *(rows or (len(like),)), items=items)


def mean_over_all(values: Tensor) -> Tensor:
    """The mean of every process's tensor, with gradients; the tensor itself on one process."""
    if world_size() == 1:
        return values
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(values) / world_size()


def rows_of_all(values: Tensor) -> Tensor:
    """[b, ...] of every process, one after the other, with gradients; the tensor itself on one process."""
    if world_size() == 1:
        return values
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(values))
