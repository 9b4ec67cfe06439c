"""Alerts, to servers on loopback: pytest tests/pipeline/flows/test_alerts.py"""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.errors import RunError
from pipeline.flows.alerts import alert_params, require_alerts, send_alert
from tests.pipeline.flows.conftest import TINY, free_port

SECRET = "s3cr3t-path"


@contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class Hook(ThreadingHTTPServer):
    """Keeps what is posted to it; answers with `status`."""

    def __init__(self, status: int = 200) -> None:
        got: list[tuple[str, dict[str, str]]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                got.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
                self.send_response(status)
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.got = got

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{SECRET}"


class MailServer(socketserver.ThreadingTCPServer):
    """As much of SMTP as a client needs; keeps what it is told, and wants no password."""

    def __init__(self) -> None:
        got: list[str] = []

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"220 test\r\n")
                in_message = False
                for raw in self.rfile:
                    line = raw.decode().rstrip("\r\n")
                    got.append(line)
                    if in_message and line != ".":
                        continue
                    in_message = line.lower() == "data"
                    self.wfile.write(b"354 go on\r\n" if in_message else b"221 bye\r\n" if line.lower() == "quit" else b"250 ok\r\n")

        super().__init__(("127.0.0.1", 0), Handler)
        self.got = got


def alerts(tmp_path: Path, **changed: object) -> Any:
    values = yaml.safe_load(TINY.read_text())
    values["flow"]["alerts"] |= changed
    values["dit"] = "broken by hand"  # an alert has to tell of it all the same
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    return alert_params(tmp_path)


def test_a_webhook_gets_the_text_and_its_address_comes_from_the_environment(tmp_path: Path, monkeypatch) -> None:
    hook = Hook()
    monkeypatch.setenv("HOOK", hook.url)
    with running(hook):
        send_alert(alerts(tmp_path, webhook="$HOOK"), "mmldm:\nreproduce failed", "dit failed | go on with: mmldm reproduce")
    assert hook.got == [(f"/{SECRET}", {"subject": "mmldm: reproduce failed",
                                        "text": "mmldm: reproduce failed\ndit failed | go on with: mmldm reproduce"})]


def test_a_mail_is_one_that_can_be_read(tmp_path: Path) -> None:
    server = MailServer()
    with running(server):
        send_alert(alerts(tmp_path, mail_to="me@example.org", smtp_host="127.0.0.1", smtp_port=server.server_address[1]),
                   "mmldm: model-0003 was not promoted\nBcc: other@example.org", "FAD is worse")
    assert "rcpt TO:<me@example.org>" in server.got and not [line for line in server.got if line.startswith("Bcc:")]
    assert "Subject: mmldm: model-0003 was not promoted Bcc: other@example.org" in server.got
    assert "FAD is worse" in server.got


def test_one_who_cannot_be_told_keeps_nobody_else_from_it_and_no_secret_is_said(tmp_path: Path, monkeypatch) -> None:
    hook, server = Hook(status=500), MailServer()
    monkeypatch.setenv("HOOK", hook.url)
    with running(hook), running(server), pytest.raises(RunError) as failed:
        send_alert(alerts(tmp_path, webhook="$HOOK", mail_to="me@example.org", smtp_host="127.0.0.1", smtp_port=server.server_address[1]),
                   "mmldm: reproduce failed", "dit failed")
    assert str(failed.value) == "flow.alerts.webhook could not be told (HTTPStatusError 500)"
    assert "dit failed" in server.got
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:{free_port()}/{SECRET}")
    with pytest.raises(RunError, match=r"^flow\.alerts\.webhook could not be told \(ConnectError\)$"):
        send_alert(alerts(tmp_path, webhook="$HOOK"), "mmldm: reproduce failed", "dit failed")


def test_a_secret_that_is_not_there_is_named_before_anything_runs(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("HOOK", raising=False)
    with pytest.raises(RunError, match=r"flow\.alerts\.webhook is \$HOOK, but the environment has no HOOK; export it"):
        require_alerts(alerts(tmp_path, webhook="$HOOK"))
    with pytest.raises(RunError, match=r"flow\.alerts\.smtp_password is \$PASSWORD_OF_NOBODY"):
        require_alerts(alerts(tmp_path, mail_to="me@example.org", smtp_user="me", smtp_password="$PASSWORD_OF_NOBODY"))


def test_nobody_named_is_nobody_told(tmp_path: Path) -> None:
    send_alert(alerts(tmp_path), "mmldm: reproduce failed", "dit failed")
