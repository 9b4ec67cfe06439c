"""Alerts: a webhook or a mail when a run has failed or a promotion was declined (`flow.alerts` of params.yaml)."""

import smtplib
import ssl
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
from prefect.blocks.webhook import Webhook
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import TerminationSignal
from prefect.flows import Flow
from prefect.states import State
from prefect.utilities.asyncutils import run_coro_as_sync

from pipeline.errors import ParamsError, RunError, UserError
from pipeline.flows.secrets import block_name, resolve_secret
from pipeline.params import AlertParams, read_yaml
from pipeline.params_reader import build
from pipeline.progress import say

SEND_SEC = 15.0


def alert_params(root: Path) -> AlertParams:
    """`flow.alerts` of `root/params.yaml`, whatever else is wrong in that file.

    Raises:
        ParamsError: the section itself cannot be read.
    """
    content = read_yaml(root / "params.yaml")
    flow = content.get("flow") if isinstance(content, dict) else None
    if not isinstance(flow, dict):
        raise ParamsError("params.yaml: flow is missing, expected a section of keys")
    return build(AlertParams, flow.get("alerts"), "flow.alerts")


def send_alert(alerts: AlertParams, subject: str, text: str) -> None:
    """Tell everyone whom params.yaml names; one who cannot be told does not keep the others from it.

    Args:
        alerts: nobody named: nothing is sent.
        subject: a few words, such as "mmldm: reproduce failed".
        text: what happened, and the command to go on.

    Raises:
        RunError: somebody could not be told; without the secret.
    """
    problems = []
    for name, send in (("webhook", _post), ("mail_to", _mail)):
        if getattr(alerts, name) is None:
            continue
        try:
            send(alerts, " ".join(subject.split()), text)
        except UserError as error:
            problems.append(str(error))
        except Exception as error:  # its text may hold the address, which is a secret
            problems.append(f"flow.alerts.{name} could not be told ({_reason(error)})")
    if problems:
        raise RunError("; ".join(problems))


def require_alerts(alerts: AlertParams) -> None:
    """The secrets of `flow.alerts` are where params.yaml says.

    Raises:
        RunError: one is not.
    """
    if alerts.webhook is not None:
        _webhook(alerts.webhook)
    if alerts.mail_to is not None and alerts.smtp_password is not None:
        resolve_secret(alerts.smtp_password, "flow.alerts.smtp_password")


def tell_of_failure(flow: Flow[Any, Any], flow_run: FlowRun, state: State) -> None:
    """Hook of a flow for its failure or crash; its parameter `root` says whose params.yaml names the people to tell."""
    if isinstance(state.data, (KeyboardInterrupt, TerminationSignal)):
        return  # somebody has stopped it, and knows
    root = Path(str(flow_run.parameters.get("root", "."))).resolve()
    tell(root, f"mmldm: {flow.name} {(state.name or 'failed').lower()} in {root.name}", state.message or "it gave no reason")


def tell(root: Path, subject: str, text: str) -> None:
    """`send_alert` to those whom `root/params.yaml` names; an alert that fails is a line, and no reason for a flow to fail."""
    try:
        send_alert(alert_params(root), subject, text)
    except UserError as error:
        say("alert", str(error))


def _post(alerts: AlertParams, subject: str, text: str) -> None:
    """As chat programs take it: {"text": ...}."""
    hook = _webhook(str(alerts.webhook))
    body = {"text": f"{subject}\n{text}", "subject": subject}
    answer = run_coro_as_sync(hook.call(body)) if isinstance(hook, Webhook) else httpx.post(hook, json=body, timeout=SEND_SEC)
    if answer is not None:
        answer.raise_for_status()


def _webhook(where: str) -> Webhook | str:
    if where.startswith("$"):
        return resolve_secret(where, "flow.alerts.webhook")
    try:
        return Webhook.load(block_name(where))  # type: ignore[return-value]
    except ValueError:
        raise RunError(f"flow.alerts.webhook is {where}, but Prefect has no Webhook block of that name; make one on its page, under Blocks"
                       ) from None


def _mail(alerts: AlertParams, subject: str, text: str) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = alerts.mail_from, alerts.mail_to, subject
    message.set_content(text + "\n")
    context = ssl.create_default_context()
    if alerts.smtp_security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(alerts.smtp_host, alerts.smtp_port, timeout=SEND_SEC, context=context)
    else:
        server = smtplib.SMTP(alerts.smtp_host, alerts.smtp_port, timeout=SEND_SEC)
    with server:
        if alerts.smtp_security == "starttls":
            server.starttls(context=context)
        if alerts.smtp_user is not None:
            server.login(alerts.smtp_user, resolve_secret(str(alerts.smtp_password), "flow.alerts.smtp_password"))
        server.send_message(message)


def _reason(error: Exception) -> str:
    """The kind of error, and a status where there is one; not its text."""
    status = getattr(getattr(error, "response", None), "status_code", None) or getattr(error, "smtp_code", None)
    return f"{type(error).__name__} {status}" if status else type(error).__name__
