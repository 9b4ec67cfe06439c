"""Weights by URL: fetched once, checked, never another file in their place. `pytest tests/pipeline/test_pretrained_urls.py`"""

import hashlib
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.errors import AbsentWeights, WeightsError
from pipeline.params import PretrainedParams
from pipeline.pretrained import _hub_is_silent, resolve

DATA = b"weights" * 1000


class Quiet(SimpleHTTPRequestHandler):
    """Counts what is asked for."""

    asked: list[str] = []  # noqa: RUF012

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a server with `net.pth`; the home folder is an empty one."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "served").mkdir()
    (tmp_path / "served/net.pth").write_bytes(DATA)
    Quiet.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/net.pth"
    server.shutdown()
    server.server_close()


def entry(source: str, sha256: str | None) -> PretrainedParams:
    return PretrainedParams(source=source, revision=None, subfolder=None, sha256=sha256)


def test_a_url_is_fetched_once_and_checked_by_its_hash_or_the_beginning_of_it(address: str) -> None:
    digest = hashlib.sha256(DATA).hexdigest()
    file = resolve(entry(address, digest), "evaluate.extractors.vggish")
    assert file.name == "net.pth" and file.read_bytes() == DATA
    assert resolve(entry(address, digest[:8].upper()), "evaluate.extractors.vggish") == file
    assert Quiet.asked == ["/net.pth"]


def test_another_hash_stops_and_nothing_is_kept(address: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"vggish\.sha256 is 00000000"):
        resolve(entry(address, "0" * 64), "evaluate.extractors.vggish")
    assert not [path for path in (tmp_path / "home").rglob("*") if path.is_file()]


def test_without_a_hash_or_a_commit_in_it_a_url_is_not_pinned(address: str) -> None:
    with pytest.raises(WeightsError, match="sha256 is null; pin the hash"):
        resolve(entry(address, None), "evaluate.extractors.vggish")
    assert Quiet.asked == []


def test_what_is_not_there_is_absent_and_says_both_ways_out(address: str, tmp_path: Path) -> None:
    for url in (address.replace("net", "other"), "http://127.0.0.1:9/net.pth"):
        with pytest.raises(AbsentWeights, match=r"connect to the network once, or set .*vggish\.source to a local file"):
            resolve(entry(url, "0" * 64), "evaluate.extractors.vggish")
    assert not [path for path in (tmp_path / "home").rglob("*") if path.is_file()]


def test_a_hub_that_does_not_answer_is_asked_once_for_all(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    def no_answer(url: str, timeout: float) -> None:
        asked.append(url)
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", no_answer)
    _hub_is_silent.cache_clear()
    for name in ("one", "two"):
        wanted = PretrainedParams(source=f"nobody/{name}", revision="0" * 40, subfolder=None, sha256=None)
        with pytest.raises(AbsentWeights, match=rf"x\.source nobody/{name} at 0+ is not on this machine and could not be fetched \("):
            resolve(wanted, "x")
    assert len(asked) == 1 and capsys.readouterr().err == ""
    _hub_is_silent.cache_clear()
