"""The section `flow`: how the stages are run by `mmldm reproduce` and `mmldm serve`; no stage reads it, so nothing is run again for it."""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from pipeline.params_reader import require

SECRET = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*|block/[a-z0-9][a-z0-9-]*")
ADDRESS = re.compile(r"[^@\s<>,;]+@[^@\s<>,;]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class AlertParams:
    """Who is told of a failed run or a declined promotion; a secret itself is never in here, only where it is."""

    webhook: str | None
    """Where the address to POST to is: `$VARIABLE` of the environment, or `block/NAME` of a Prefect Webhook block; null: none."""
    mail_to: str | None
    """Address to write to; null: none."""
    mail_from: str
    smtp_host: str
    smtp_port: int
    smtp_security: Literal["none", "starttls", "tls"]
    smtp_user: str | None
    """null: the mail server asks for no password."""
    smtp_password: str | None
    """Where the password is: `$VARIABLE` of the environment, or `block/NAME` of a Prefect Secret block."""

    def __post_init__(self) -> None:
        for name in ("webhook", "smtp_password"):
            value = getattr(self, name)
            expected = "$VARIABLE or block/NAME that holds it, or null (no secret belongs into this file)"
            shown = repr(value) if value and len(value) < 8 else "another text"  # it may be the secret itself
            require(value is None or SECRET.fullmatch(value) is not None, f"alerts.{name}", shown, expected)
        for name, value in (("mail_to", self.mail_to), ("mail_from", self.mail_from)):
            require(value is None or ADDRESS.fullmatch(value) is not None, f"alerts.{name}", repr(value), "one address, name@host")
        require(1 <= self.smtp_port <= 65535, "alerts.smtp_port", self.smtp_port, "1 to 65535")
        require((self.smtp_user is None) == (self.smtp_password is None), "alerts.smtp_password", self.smtp_password,
                "given with alerts.smtp_user, or both null")


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowParams:
    gpu: int
    """Stages at once that dvc.yaml marks with `meta: {slot: gpu}`: on the GPU, or with every core where there is none."""
    cpu: int
    """Other stages at once. Both limits hold for all runs of one user on this machine."""
    retries: int
    """Times that a stage is started again after a cause that may pass (`pipeline/flows/causes.py`); never after a user's mistake."""
    port: int
    """Port on 127.0.0.1 of the server and page that `mmldm serve` starts."""
    database: str | None
    """`postgresql://user@host:port/name` for that server, password in PGPASSWORD or ~/.pgpass; null: SQLite in .prefect/."""
    catch_up: Literal["skip", "once"]
    """What follows when `mmldm serve` was not running at a time of its schedule: nothing, or one run when it starts."""
    alerts: AlertParams

    def __post_init__(self) -> None:
        require(self.gpu >= 1, "flow.gpu", self.gpu, "1 or more")
        require(self.cpu >= 1, "flow.cpu", self.cpu, "1 or more")
        require(0 <= self.retries <= 10, "flow.retries", self.retries, "0 to 10")
        require(1 <= self.port <= 65535, "flow.port", self.port, "1 to 65535")
        if self.database is not None:
            parts = urlsplit(self.database)
            require(parts.password is None, "flow.database", "an address with a password in it",
                    "one without; the password goes into PGPASSWORD or ~/.pgpass")
            require(parts.scheme in ("postgresql", "postgres") and bool(parts.hostname) and len(parts.path) > 1, "flow.database",
                    self.database, "postgresql://user@host:port/name, or null")
