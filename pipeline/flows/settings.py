"""Prefect's settings for a run on this machine: its files in `.prefect/`, its server for itself, nothing said to anybody."""

import os
from collections.abc import MutableMapping
from pathlib import Path

from pipeline.quiet import silence_tools

HOME = ".prefect"


def prepare_prefect(root: Path, environment: MutableMapping[str, str] = os.environ) -> None:
    """Say to Prefect where it lives; call it before `prefect` is imported, which reads the environment only then.

    What a user has set already stays.
    """
    silence_tools(environment)
    environment.setdefault("PREFECT_HOME", str((root / HOME).resolve()))
    environment.setdefault("PREFECT_SERVER_API_HOST", "127.0.0.1")
    for name in ("NO_PROXY", "no_proxy"):  # an own server is on this machine: a proxy has no part in it
        environment[name] = ",".join(part for part in (environment.get(name), "127.0.0.1", "localhost") if part)
    # Prefect's page gets every line; on the terminal the stages and the flow say in one line what Prefect would say in ten.
    environment.setdefault("PREFECT_LOGGING_LEVEL", "INFO")
    environment.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
