"""Files that arrive: pytest tests/pipeline/retrain/test_incoming.py"""

import os
import threading
import time
from pathlib import Path

import pytest

from pipeline.retrain.incoming import Arrival, Refused, clear_taken, copy_whole, look, set_aside


def arrive(folder: Path, path: str, text: str = "video") -> Path:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text)
    return folder / path


def test_a_file_that_still_grows_waits_and_the_others_are_whole(tmp_path: Path) -> None:
    arrive(tmp_path, "a/whole.mp4")
    arrive(tmp_path, "a/.hidden.mp4.part")
    growing = arrive(tmp_path, "b/growing.mp4")
    stop = threading.Event()

    def grow() -> None:
        while not stop.wait(0.02):
            with growing.open("a") as file:
                file.write("more")

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        found = look(tmp_path, 0.2)
    finally:
        stop.set()
        writer.join()
    assert [arrival.path for arrival in found.whole] == ["a/whole.mp4"]
    assert found.waiting == ("b/growing.mp4",)


def test_a_copy_that_sets_size_and_time_back_is_seen(tmp_path: Path) -> None:
    file = arrive(tmp_path, "a/1.mp4", "12345")
    before = file.stat()
    timer = threading.Timer(0.1, lambda: (file.write_text("54321"), os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))))
    timer.start()
    assert look(tmp_path, 0.3).whole == ()
    timer.join()


def test_an_empty_or_absent_folder_is_seen_at_once(tmp_path: Path) -> None:
    started = time.monotonic()
    assert look(tmp_path / "nowhere", 60).whole == () and look(tmp_path, 60).waiting == ()
    assert time.monotonic() - started < 5


def test_links_are_never_opened(tmp_path: Path) -> None:
    secret = arrive(tmp_path / "elsewhere", "secret")
    (tmp_path / "in/a").mkdir(parents=True)
    (tmp_path / "in/a/link.mp4").symlink_to(secret)
    (tmp_path / "in/folder").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    os.mkfifo(tmp_path / "in/a/pipe.mp4")
    found = look(tmp_path / "in", 0.0)
    assert found.whole == () and found.waiting == ("a/link.mp4", "a/pipe.mp4")


def test_only_what_is_still_the_same_file_is_copied_and_cleared(tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    arrive(incoming, "a/1.mp4", "first")
    arrive(incoming, "a/2.mp4", "second")
    whole = look(incoming, 0.0).whole
    assert copy_whole(incoming, whole[0], tmp_path / "taken/a/1.mp4", tmp_path / "part")
    arrive(incoming, "a/2.mp4", "replaced since")
    assert not copy_whole(incoming, whole[1], tmp_path / "taken/a/2.mp4", tmp_path / "part")
    clear_taken(incoming, whole)
    assert [path.name for path in incoming.rglob("*.mp4")] == ["2.mp4"]
    assert [path.name for path in (tmp_path / "taken").rglob("*.mp4")] == ["1.mp4"]
    assert not (tmp_path / "part").exists()


@pytest.mark.parametrize("path", ["a/bad.mp4", "a/$(touch owned); rm -rf *.mp4", "a/-rf"])
def test_what_is_of_no_use_goes_aside_with_its_reason_and_replaces_nothing(path: str, tmp_path: Path) -> None:
    incoming, aside = tmp_path / "incoming", tmp_path / "rejected"
    for text in ("one", "two"):
        arrive(incoming, path, text)
        refused = [Refused(path, "not_media", 'a "quoted", detail')]
        for _ in range(2):  # the second time as after a kill
            set_aside(incoming, filter(None, [Arrival.of(incoming, path)]), refused, aside)
    kept = sorted(file.read_text() for file in (aside / "a").iterdir())
    assert kept == ["one", "two"] and not list(incoming.rglob("*.*"))
    assert len((aside / "reasons.csv").read_text().splitlines()) == 3
    assert not (tmp_path / "owned").exists()
