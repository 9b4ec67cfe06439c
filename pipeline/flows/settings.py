"""Prefect's settings for a run on this machine: its embedded server, its files in `.prefect/`, nothing said to anybody."""

import os
from collections.abc import MutableMapping
from pathlib import Path

from pipeline.quiet import silence_tools

HOME = ".prefect"


def prepare_prefect(root: Path, environment: MutableMapping[str, str] = os.environ) -> None:
    """Say to Prefect where it lives; call it before `prefect` is imported, which reads the environment only then.

    Without `PREFECT_API_URL` Prefect starts a server of its own on 127.0.0.1 for the length of the flow; with it (a user's
    own server, with its page to watch) it reports there. What a user has set already stays.
    """
    silence_tools(environment)
    environment.setdefault("PREFECT_HOME", str((root / HOME).resolve()))
    environment.setdefault("PREFECT_SERVER_API_HOST", "127.0.0.1")
    environment.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
    for name in ("NO_PROXY", "no_proxy"):  # the embedded server is on this machine: a proxy has no part in it
        environment[name] = ",".join(part for part in (environment.get(name), "127.0.0.1", "localhost") if part)
    # The stages and the flow say in one line each what Prefect would say in ten, with a traceback.
    environment.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
