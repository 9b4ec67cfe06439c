"""Features are kept by content and taken again only where something differs. `pytest tests/stages/evaluate/test_features.py`"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.contracts.window_sets import Window
from stages.evaluate.extractors.local import LocalExtractor
from stages.evaluate.features import FeatureStore, identity
from stages.local_features import LocalNetwork
from tests.stages.evaluate.listed import Listed


class Counting(LocalExtractor):
    """Counts what it is asked for; fails once after `allowed` windows, as a kill would."""

    batch_size = 4
    asked = 0
    allowed = 10**9

    def __call__(self, windows: list[Window]) -> Tensor:
        if self.asked + len(windows) > self.allowed:
            raise KeyboardInterrupt
        self.asked += len(windows)
        return super().__call__(windows)


Counting.__module__ = LocalExtractor.__module__  # its code, for the identity


def extractor(seed: int = 0) -> Counting:
    torch.manual_seed(seed)
    return Counting(LocalNetwork("video", 2), torch.device("cpu"), 8000)


@pytest.fixture
def windows() -> Listed:
    random = np.random.default_rng(0)
    return Listed([Window(f"w{i}", 0, random.integers(0, 256, (4, 16, 16, 3), dtype=np.uint8), np.zeros(800, np.int16)) for i in range(10)])


def store(room: Path, *earlier: Path) -> FeatureStore:
    return FeatureStore(room / "out", room / "scratch", earlier)


def test_a_second_run_finds_what_the_first_took_and_another_network_does_not(windows: Listed, tmp_path: Path) -> None:
    first, again, other = extractor(), extractor(), extractor(seed=1)
    values = store(tmp_path / "one").of(first, windows).values
    assert first.asked == 10 and values.shape == (10, 32) and values.dtype == np.float32
    found = store(tmp_path / "two", tmp_path / "one/out").of(again, windows)
    assert again.asked == 0 and np.array_equal(found.values, values) and found.silent.all()
    store(tmp_path / "two", tmp_path / "one/out").of(other, windows)
    assert other.asked == 10 and identity(first) == identity(again) != identity(other)


def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_bytes(windows: Listed, tmp_path: Path) -> None:
    killed, rest = extractor(), extractor()
    killed.allowed = 9
    with pytest.raises(KeyboardInterrupt):
        store(tmp_path / "killed").of(killed, windows)
    store(tmp_path / "killed").of(rest, windows)
    assert (killed.asked, rest.asked) == (8, 2)
    store(tmp_path / "whole").of(extractor(), windows)
    files = [sorted((tmp_path / name / "out/features").iterdir()) for name in ("killed", "whole")]
    assert [path.name for path in files[0]] == [path.name for path in files[1]]
    assert files[0][0].read_bytes() == files[1][0].read_bytes()
    assert not list((tmp_path / "killed/scratch/features").iterdir()), "no batch is left behind"


def test_damaged_features_are_taken_again(windows: Listed, tmp_path: Path) -> None:
    values = store(tmp_path).of(extractor(), windows).values
    file, = (tmp_path / "out/features").iterdir()
    file.write_bytes(file.read_bytes()[:-20] + bytes(20))
    again = extractor()
    assert np.array_equal(store(tmp_path).of(again, windows).values, values) and again.asked == 10
    third = extractor()
    store(tmp_path).of(third, windows)
    assert third.asked == 0, "the damaged file was replaced"


def test_a_set_without_windows_has_no_rows(tmp_path: Path) -> None:
    assert store(tmp_path).of(extractor(), Listed([])).values.shape == (0, 1)
