"""A network spread over the processes of a training (FSDP): each holds a part of the weights, gradients, optimizer state and average.

    accelerate launch --use_fsdp --num_processes 8 -m stages.dit

For networks that a GPU has no room to train whole. What a checkpoint and an output hold is whole again, so that a training
may go on with another number of processes, sharded or not. Only rounding differs.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pipeline.processes import rank, world_size
from pipeline.training_options import repeated_blocks

if TYPE_CHECKING:  # a second of imports that only a sharded training needs
    from torch.distributed.tensor import DTensor

ASKED = "ACCELERATE_USE_FSDP"
"""What `accelerate launch --use_fsdp` says to the processes."""


def is_asked_for() -> bool:
    """Whether the weights are to be sharded, as the launcher says; on one process there is nothing to share."""
    return world_size() > 1 and os.environ.get(ASKED, "false").lower() == "true"


@contextlib.contextmanager
def left_to_us() -> Iterator[None]:
    """An `Accelerator` made here does not shard by itself: it would wrap the small networks of the later phases too, and not on a CPU."""
    asked = os.environ.pop(ASKED, None)
    try:
        yield
    finally:
        if asked is not None:
            os.environ[ASKED] = asked


def shard(module: nn.Module, device: torch.device, reduced: torch.dtype | None) -> nn.Module:
    """Spread a module over all processes, block by block: the weights of a block are whole only while it computes.

    Args:
        module: on `device`; called as a whole, as nothing is gathered for its methods.
        reduced: dtype of autocast, None: none.
    """
    from accelerate.utils import convert_outputs_to_fp32
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (world_size(),))
    for block in repeated_blocks([module]):
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)
    if reduced is not None:
        module.forward = convert_outputs_to_fp32(torch.autocast(device.type, dtype=reduced)(module.forward))  # as accelerate does
    return module


class ShardedAverage:
    """The moving average of a sharded module's parameters; each process averages its own part."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.parts = [part.clone() for part in self._own()]

    def update(self, decay: float) -> None:
        """As `pipeline.training.update_average`."""
        torch._foreach_lerp_(self.parts, self._own(), 1 - decay)

    def put_into(self, whole: nn.Module) -> None:
        """Fill an unsharded copy of the module with the average; called by all processes."""
        for target, part, parameter in zip(whole.parameters(), self.parts, self.module.parameters(), strict=True):
            target.copy_(_like(parameter, part).full_tensor())
        for kept, source in zip(whole.buffers(), self.module.buffers(), strict=True):
            kept.copy_(source)

    def take_from(self, whole: nn.Module) -> None:
        """The opposite: go on from the average that a checkpoint holds."""
        for source, part, parameter in zip(whole.parameters(), self.parts, self.module.parameters(), strict=True):
            part.copy_(spread(source.detach(), parameter).to_local())

    def _own(self) -> list[Tensor]:
        return [parameter.detach().to_local() for parameter in self.module.parameters()]  # type: ignore[attr-defined]


def is_sharded(value: object) -> bool:
    """Whether a tensor is this process's part of a larger one."""
    return hasattr(value, "full_tensor")


def plain(value: Any) -> Any:
    """A tensor as a whole one; called by all processes."""
    return value.full_tensor() if is_sharded(value) else value


def gathered(values: Any) -> Any:
    """Nested values with every sharded tensor whole, on the CPU of the first process; called by all. The others get nothing of use."""
    if is_sharded(values):
        whole = plain(values.detach())
        return whole.cpu() if rank() == 0 else None
    if isinstance(values, Mapping):
        return {name: gathered(value) for name, value in values.items()}
    return [gathered(value) for value in values] if isinstance(values, list) else values


def load_module(module: nn.Module, saved: Mapping[str, Tensor]) -> None:
    """Put whole weights into a module, sharded or not."""
    own = module.state_dict()
    if set(own) != set(saved):
        raise KeyError(sorted(set(own) ^ set(saved))[0])
    for name, value in own.items():
        value.copy_(spread(saved[name], value) if is_sharded(value) else saved[name])


def load_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Put a whole state into an optimizer, whose parameters may be sharded."""
    optimizer.load_state_dict(saved)
    for parameter, state in optimizer.state.items():
        if is_sharded(parameter):
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    state[name] = spread(value, parameter)


def spread(whole: Tensor, like: Any) -> "DTensor":
    """This process's part of a tensor that all have, laid out as `like`."""
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def _like(parameter: Any, part: Tensor) -> "DTensor":
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(part, parameter.device_mesh, parameter.placements, shape=parameter.shape, stride=parameter.stride())
