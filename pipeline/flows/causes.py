"""Which failures of a stage are worth another try: those that may be gone a minute later, and no mistake of a user.

| cause | how it shows |
|---|---|
| another DVC held the lock | `dvc status` of an editor, a `dvc repro` by hand; DVC waits for its lock, but not for the one of a path |
| a database was locked | SQLite, under DVC's state or Prefect's, while many write |
| the system killed the process | signal 9: for want of memory, mostly; the stage goes on where it stopped |
| the stage itself asked for it | exit code 75 (`TransientError`): a worker killed, a Dask cluster that went away |

A wrong parameter, bad data, a full disk, a loss that is not finite, a defect: none of them goes away by itself, so nobody waits for them.
"""

import re
from collections.abc import Iterable

from pipeline.errors import TRY_AGAIN

KILLED = (-9, 128 + 9)
"""As Python and as a shell say that signal 9 ended a process."""
DELAYS_SEC = (10.0, 60.0)
"""Before the second start, before all later ones."""
_EXITED = re.compile(r"exited with (-?\d+)")
_SAID = (
    ("another DVC held the lock", re.compile(r"Unable to acquire lock|is busy, it is being blocked by")),
    ("a database was locked", re.compile(r"database is locked")),
)


def transient_cause(code: int, errors: Iterable[str]) -> str | None:
    """Why a failed stage may succeed when it is started again.

    Args:
        code: of the DVC that ran it; negative: minus the signal that ended it.
        errors: the lines that DVC marked with ERROR; the stage's own exit code is in the last of them.

    Returns:
        A few words, or None: it would fail again.
    """
    text = "\n".join(errors)
    found = _EXITED.findall(text)
    own = int(found[-1]) if found else code
    if own in KILLED:
        return "the system killed it, for want of memory perhaps"
    if own == TRY_AGAIN:
        return "the stage asked for it"
    return next((cause for cause, pattern in _SAID if pattern.search(text)), None)
