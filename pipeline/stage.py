"""How every stage starts and ends: params at the door, one line for a mistake, a closing summary.

    python -m stages.decode          # what DVC, the flow and a person type
"""

import errno
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.errors import UserError
from pipeline.params import Params, load_params
from pipeline.progress import human_seconds, say
from pipeline.quiet import silence_tools

Summary = Mapping[str, object]


def stage_main(name: str, run: Callable[[Params], Summary]) -> None:
    """Load and check params.yaml, run the stage, print what was written; exit 1 with one line on a user's mistake.

    Args:
        name: the stage's name, as in dvc.yaml.
        run: takes the whole params, hands its own sections to the stage, returns what to print in closing.
    """
    silence_tools()
    started = time.monotonic()
    try:
        params = load_params(Path("params.yaml"))
        prepare_torch(params)
        summary = run(params)
    except UserError as error:
        sys.exit(f"{name}: {error}")
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sys.exit(f"{name}: no space left on the disk that holds {error.filename or 'data'}; "
                 "free some and run the same command again, finished work is kept")
    except KeyboardInterrupt:
        sys.exit(130)
    closing = " | ".join(f"{key} {value}" for key, value in summary.items())
    say(name, f"done in {human_seconds(time.monotonic() - started)} | {closing}")


def prepare_torch(params: Params) -> None:
    """Threads and deterministic kernels, for the stages that import torch (the others don't pay for it)."""
    threads = params.compute.num_threads or os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
