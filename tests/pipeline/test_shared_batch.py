"""What several processes draw together is what one draws alone: pytest tests/pipeline/test_shared_batch.py"""

import pytest
import torch
from torch import Tensor

from pipeline.shared_batch import own, own_noise, own_rows


def on_each(monkeypatch: pytest.MonkeyPatch, size: int, draw) -> list:
    """What each of `size` processes gets, all seeded alike."""
    found = []
    for rank in range(size):
        for name, value in (("WORLD_SIZE", size), ("RANK", rank), ("LOCAL_RANK", rank)):
            monkeypatch.setenv(name, str(value))
        torch.manual_seed(5)
        found.append(draw())
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name)
    torch.manual_seed(5)
    return found


def together(shares: list[Tensor], rows_per_item: int = 1) -> Tensor:
    """The shares of processes, item by item in turn."""
    items = [share.unflatten(0, (-1, rows_per_item)) for share in shares]
    return torch.stack(items, dim=1).flatten(0, 2)


def test_items_are_dealt_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(own(range(6))) == [0, 1, 2, 3, 4, 5]
    assert on_each(monkeypatch, 2, lambda: list(own(range(6)))) == [[0, 2, 4], [1, 3, 5]]


def test_shares_of_noise_are_one_process_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = on_each(monkeypatch, 2, lambda: own_noise(torch.empty(3, 2, 4)))
    assert torch.equal(together(shares), own_noise(torch.empty(6, 2, 4)))


def test_rows_of_an_item_stay_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row for each of 4 items, then 3 for each, as sound and frames lie in the signal decoder's batch."""
    def draw(items: int) -> Tensor:
        return own_rows(lambda rows: torch.rand(rows, 2), items, 3 * items)

    shares = on_each(monkeypatch, 2, lambda: draw(2))
    alone = draw(4)
    assert torch.equal(together([share[:2] for share in shares]), alone[:4])
    assert torch.equal(together([share[2:] for share in shares], rows_per_item=3), alone[4:])


def test_one_stretch_of_several_rows_an_item(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = on_each(monkeypatch, 2, lambda: own_noise(torch.empty(6, 4), items=2))
    assert torch.equal(together(shares, rows_per_item=3), own_noise(torch.empty(12, 4), items=4))


def test_noise_is_the_same_in_every_memory_format() -> None:
    like = torch.empty(2, 3, 4, 4)
    torch.manual_seed(0)
    plain = own_noise(like)
    torch.manual_seed(0)
    assert torch.equal(own_noise(like.contiguous(memory_format=torch.channels_last)), plain)
