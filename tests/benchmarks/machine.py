"""What the machine does at best, and what a piece of work takes of it."""

import resource
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode


def count_tflop(work: Callable[[], object]) -> float:
    """10^12 operations of matrix products and convolutions, forwards and backwards; it also warms up."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e12


def clock(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def peak_tflops(device: torch.device, precision: str) -> float:
    """10^12 operations a second of a large matrix product or of a large 3x3 convolution, whichever is faster; the best of some."""
    size, side = (8192, 256) if device.type == "cuda" else (1536, 64)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    torch.backends.cuda.matmul.allow_tf32 = True  # as cuDNN's convolutions do
    matrix = torch.randn(size, size, device=device, dtype=dtype)
    maps, kernel = torch.randn(4, 256, side, side, device=device, dtype=dtype), torch.randn(256, 256, 3, 3, device=device, dtype=dtype)
    works = {2 * size**3: lambda: matrix @ matrix, 2 * maps.numel() * 256 * 9: lambda: torch.nn.functional.conv2d(maps, kernel, padding=1)}
    with torch.no_grad():  # the sum waits for the GPU
        return max(count / min(clock(lambda work=work: work().sum().item()) for _ in range(8)) / 1e12 for count, work in works.items())


def memory_gib(device: torch.device) -> float:
    """Most memory that this process has held: of the GPU, or its own where there is none."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
