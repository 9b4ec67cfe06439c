"""What a training does for memory and speed without another result: recomputed activations, torch.compile, channels-last.

All act on blocks: a network's class of repeated part says `repeated = True`; diffusers' are known by their names.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from pipeline.errors import TrainingError

DIFFUSERS_BLOCKS = {"ResnetBlock2D", "BasicTransformerBlock", "AutoencoderTinyBlock"}
"""By name, as importing diffusers takes a second that the DiT need not spend."""
MAX_VARIANTS = 64
"""Shapes of one class of block that are compiled; torch gives up at 8, a U-Net of four widths has two dozen."""


def repeated_blocks(modules: Iterable[nn.Module]) -> Iterator[nn.Module]:
    """Every block of some networks."""
    for module in itertools.chain.from_iterable(network.modules() for network in modules):
        if getattr(module, "repeated", False) or type(module).__name__ in DIFFUSERS_BLOCKS:
            yield module


def recompute_activations(modules: Iterable[nn.Module]) -> None:
    """Keep only the input of each block for the backward pass, and compute the rest a second time (gradient checkpointing)."""
    for block in repeated_blocks(modules):
        block.forward = _recomputed(block, block.forward)


def _recomputed(block: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(forward)
    def run(*given: Any, **named: Any) -> Any:
        # Weights lent by torch.func.functional_call are plain tensors; at the second computation they would be gone.
        own = all(isinstance(weight, nn.Parameter) for weight in block.parameters())
        if not own or not torch.is_grad_enabled():
            return forward(*given, **named)
        kernels = _AttentionKernels()
        return checkpoint(forward, *given, use_reentrant=False, context_fn=lambda: (nullcontext(), kernels), **named)

    return run


class _AttentionKernels(AbstractContextManager[None]):
    """The kernels that attention may take here, once more: the backward pass lies outside of the network's own choice."""

    def __init__(self) -> None:
        self.backends = _attention_backends()

    def __enter__(self) -> None:
        self.choice = sdpa_kernel(self.backends)
        self.choice.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.choice.__exit__(*error)


def _attention_backends() -> list[SDPBackend]:
    """Kernels that scaled_dot_product_attention may take here and now."""
    enabled = {SDPBackend.MATH: torch.backends.cuda.math_sdp_enabled, SDPBackend.FLASH_ATTENTION: torch.backends.cuda.flash_sdp_enabled,
               SDPBackend.EFFICIENT_ATTENTION: torch.backends.cuda.mem_efficient_sdp_enabled,
               SDPBackend.CUDNN_ATTENTION: torch.backends.cuda.cudnn_sdp_enabled}
    return [backend for backend, is_on in enabled.items() if is_on()]


def compile_blocks(modules: Iterable[nn.Module], stage: str, device: torch.device) -> None:
    """Compile each block at its first call; before `recompute_activations`, which then computes the compiled block twice.

    Raises:
        TrainingError: on a CPU without a C++ compiler.
    """
    if device.type == "cpu":
        from torch._inductor.cpp_builder import get_cpp_compiler
        from torch._inductor.exc import InvalidCxxCompiler

        try:
            get_cpp_compiler()
        except InvalidCxxCompiler:
            raise TrainingError(f"params.yaml: {stage}.train.compile is true, and there is no C++ compiler for it on this machine; "
                                "install g++, or set it to false") from None
    torch._dynamo.config.recompile_limit = MAX_VARIANTS
    for block in repeated_blocks(modules):
        block.forward = torch.compile(block.forward, dynamic=False)


def set_memory_format(modules: Iterable[nn.Module], *, channels_last: bool) -> None:
    """Lay the weights of convolutions out with the channel as the last axis, or as usual; their outputs follow."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d} if channels_last else {}
    for module in modules:
        for weight in module.parameters():
            weight.data = weight.data.contiguous(memory_format=formats.get(weight.dim(), torch.contiguous_format))
