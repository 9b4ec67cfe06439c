"""Clips over several devices: pytest tests/stages/encode/test_devices.py"""

import sys
import threading
import time

import pytest
import torch

from stages.encode import run
from stages.encode.devices import map_on_devices
from tests.stages.encode.start import encode

MODULE = sys.modules[run.__module__]


def test_results_come_in_order_and_no_device_has_two_tasks_at_once() -> None:
    busy, used, both = set(), [], threading.Barrier(2, timeout=10)

    def work(device: str, task: int) -> int:
        assert device not in busy, "one at a time"
        busy.add(device)
        used.append(device)
        if task < 2:
            both.wait()  # the first two tasks are under way side by side
        time.sleep(0.01 if task % 2 else 0.0)
        busy.remove(device)
        return task

    assert list(map_on_devices(work, ["a", "b"], iter(range(20)))) == list(range(20))
    assert {"a", "b"} == set(used)


def test_tasks_are_drawn_as_devices_become_free_and_a_mistake_comes_at_its_turn() -> None:
    drawn = []

    def tasks():
        for task in range(100):
            drawn.append(task)
            yield task

    def work(device: str, task: int) -> int:
        return 12 // (3 - task)

    results = map_on_devices(work, ["a", "b"], tasks())
    assert [next(results) for _ in range(3)] == [4, 6, 12] and len(drawn) <= 8
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_two_devices_leave_the_bytes_of_one(finished_run, klvae, tmp_path, monkeypatch) -> None:
    """The CPU twice stands in for two GPUs of one kind."""
    finished = finished_run(clips_per_class=4)
    encode(finished, klvae, tmp_path / "one/encode")
    moments, used = MODULE.clip_moments, set()
    monkeypatch.setattr(MODULE, "pick_devices", lambda compute: [torch.device("cpu"), torch.device("cpu")])
    monkeypatch.setattr(MODULE, "clip_moments", lambda encoder, *given: used.add(id(encoder)) or moments(encoder, *given))
    encode(finished, klvae, tmp_path / "two/encode")
    assert len(used) == 2
    for path in sorted((tmp_path / "one/encode").iterdir()):
        assert path.read_bytes() == (tmp_path / "two/encode" / path.name).read_bytes(), path.name
