"""Secrets by where they are: `$VARIABLE` of the environment, or `block/NAME` in Prefect's store; never in params.yaml, never in a log."""

import os

from pipeline.errors import RunError
from pipeline.params import AlertParams


def resolve_secret(where: str, key: str) -> str:
    """The secret itself.

    Args:
        where: `$VARIABLE` or `block/NAME` of a Prefect Secret block.
        key: in params.yaml, for the error text.

    Raises:
        RunError: it is not there.
    """
    if where.startswith("$"):
        name = where[1:]
        value = os.environ.get(name)
        if not value:
            raise RunError(f"{key} is {where}, but the environment has no {name}; export it before the command")
        return value
    from prefect.blocks.system import Secret

    try:
        return str(Secret.load(block_name(where)).get())  # type: ignore[union-attr]
    except ValueError:
        raise RunError(f"{key} is {where}, but Prefect has no Secret block of that name; make one on its page, under Blocks") from None


def block_name(where: str) -> str:
    """`block/NAME` -> `NAME`."""
    return where.removeprefix("block/")


def require_variables(alerts: AlertParams) -> None:
    """The secrets of `flow.alerts` that the environment holds are there; a look that needs no server.

    Raises:
        RunError: one is not.
    """
    for name in ("webhook", "smtp_password"):
        where = getattr(alerts, name)
        if where is not None and where.startswith("$"):
            resolve_secret(where, f"flow.alerts.{name}")
