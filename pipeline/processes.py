"""Several processes on one training (torchrun, accelerate launch): who is who, and what only the first of them does.

    torchrun --nproc-per-node 2 -m stages.dit     # the same outputs as python -m stages.dit, but for rounding

Which process one is follows from the launcher's environment alone, so that this file needs no torch until they talk.
"""

import datetime
import os
import time

GROUP_TIMEOUT = datetime.timedelta(hours=6)
"""How long a process waits for the others: the first one validates and saves alone. The launcher ends all when one dies."""
SECOND_VOICE_SEC = 30.0
"""A mistake that all have made is told by the first process; the launcher ends the others within this time."""


def world_size() -> int:
    """Processes that share the work; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def rank() -> int:
    """Number of this process, 0 to world_size() - 1."""
    return int(os.environ.get("RANK", "0")) if world_size() > 1 else 0


def local_world_size() -> int:
    """Processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if world_size() > 1 else 1


def join(device: str) -> None:
    """Meet the other processes, of which there are some.

    Args:
        device: `compute.device`.
    """
    import torch
    from accelerate import PartialState

    PartialState(cpu=device == "cpu" or not torch.cuda.is_available(), timeout=GROUP_TIMEOUT)


def wait_for_all() -> None:
    """Go on when every process is here."""
    if world_size() > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()


def first_goes_on() -> bool:
    """End of the common work, called by all: true on the first process, which goes on alone; the others are free to leave."""
    if world_size() > 1:
        from accelerate import PartialState

        PartialState().wait_for_everyone()
        PartialState().destroy_process_group()  # nobody waits for the first one's last hour
    return rank() == 0


def let_the_first_speak() -> None:
    """Before a process tells of a mistake: the first process tells what all have found, and the launcher then ends the others."""
    if rank() != 0:
        time.sleep(SECOND_VOICE_SEC)
