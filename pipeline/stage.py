"""How every stage starts and ends: params at the door, one line for a mistake, a closing summary.

    python -m stages.decode                          # what DVC, the flow and a person type
    torchrun --nproc-per-node 8 -m stages.dit        # a training on several processes
"""

import contextlib
import errno
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pipeline.errors import TRY_AGAIN, RunError, TransientError, UserError
from pipeline.params import ComputeParams, Params, load_params
from pipeline.processes import join, let_the_first_speak, local_world_size, world_size
from pipeline.progress import human_seconds, say
from pipeline.quiet import silence_tools

Summary = Mapping[str, object]


def stage_main(name: str, run: Callable[[Params], Summary], *, shared: bool = False) -> None:
    """Load and check params.yaml, run the stage, print what was written; exit 1 with one line on a user's mistake (75 on what may pass).

    Args:
        name: the stage's name, as in dvc.yaml.
        run: takes the whole params, hands its own sections to the stage, returns what to print in closing.
        shared: several processes may run it together.
    """
    silence_tools()
    started = time.monotonic()
    with mistakes_in_one_line(name):
        if world_size() > 1 and not shared:
            raise RunError(f"it was started as {world_size()} processes, which only trainings share; run: python -m stages.{name}")
        params = load_params(Path("params.yaml"))
        prepare_torch(params.compute)
        if world_size() > 1:
            join(params.compute.device)
        summary = run(params)
    closing = " | ".join(f"{key} {value}" for key, value in summary.items())
    say(name, f"done in {human_seconds(time.monotonic() - started)} | {closing}")


@contextlib.contextmanager
def mistakes_in_one_line(name: str) -> Iterator[None]:
    """End the process with 1 and one line on a user's mistake or a full disk, with 130 on Ctrl-C; a defect of ours keeps its traceback."""
    try:
        yield
    except TransientError as error:
        let_the_first_speak()
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(TRY_AGAIN)
    except UserError as error:
        let_the_first_speak()
        sys.exit(f"{name}: {error}")
    except Exception as error:
        let_the_first_speak()
        if not disk_is_full(error):
            raise
        sys.exit(f"{name}: no space left on the disk ({getattr(error, 'filename', None) or 'data'}); "
                 "free some and run the same command again, finished work is kept")
    except KeyboardInterrupt:
        sys.exit(130)


def disk_is_full(error: BaseException) -> bool:
    """Whether an error means that no space is left: torch and safetensors say it without an errno."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        return True
    written = "PytorchStreamWriter" in str(error) or "inline_container" in str(error)
    return written and shutil.disk_usage(".").free < 2**24


def prepare_torch(compute: ComputeParams) -> None:
    """Threads and deterministic kernels, for the stages that import torch (the others don't pay for it)."""
    threads = compute.num_threads or max((os.cpu_count() or 1) // local_world_size(), 1)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
