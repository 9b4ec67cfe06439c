"""Optical flow against what is known of it. `pytest tests/stages/evaluate/test_optical_flow.py`"""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, shift

from stages.evaluate.optical_flow import expansion, mean_flow, optical_flow


def texture(size: tuple[int, int] = (96, 128)) -> np.ndarray:
    return gaussian_filter(np.random.default_rng(0).uniform(0, 255, size), 2.5) * 4 - 380


@pytest.mark.parametrize(("right", "down"), [(2.0, 0.0), (-1.5, 3.0), (0.0, 0.5), (7.0, -5.0)])
def test_a_moved_picture_flows_by_what_it_was_moved(right: float, down: float) -> None:
    picture = texture()
    moved = shift(picture, (down, right), order=3, mode="nearest")
    flow = optical_flow(*(torch.from_numpy(image)[None].float() for image in (picture, moved)))[0, :, 20:-20, 20:-20]
    assert flow[0].median() == pytest.approx(right, abs=0.1) and flow[1].median() == pytest.approx(down, abs=0.1)


def test_a_quadratic_surface_is_its_own_expansion() -> None:
    y, x = np.mgrid[-20:21, -20:21].astype(np.float64)
    surface = torch.from_numpy(0.5 * x**2 - 0.25 * y**2 + 0.3 * x * y + 2 * x - y + 7)[None, None].float()
    a, b = expansion(surface)
    assert a[0, :, 20, 20].tolist() == pytest.approx([0.5, -0.25, 0.3], abs=1e-4)
    assert b[0, :, 20, 20].tolist() == pytest.approx([2.0, -1.0], abs=1e-4)
    assert b[0, :, 20, 23].tolist() == pytest.approx([2.0 + 3 * 2 * 0.5, -1.0 + 3 * 0.3], abs=1e-4)


def test_mean_flow_is_next_to_nothing_for_a_still_picture_and_grows_with_speed() -> None:
    def moving(px: int) -> torch.Tensor:
        picture = np.clip(texture((64, 64)), 0, 255).astype(np.uint8)[..., None].repeat(3, 2)
        return torch.from_numpy(np.stack([np.roll(picture, px * i, axis=1) for i in range(4)]))

    still, slow, fast = (mean_flow(moving(px)) for px in (0, 1, 3))
    assert still.max() < 0.005 and len(slow) == 3
    assert slow.mean() == pytest.approx(1.0, abs=0.15) and fast.mean() == pytest.approx(3.0, abs=0.4)
    assert len(mean_flow(moving(1)[:1])) == 0


def test_each_pair_of_frames_is_on_its_own() -> None:
    frames = torch.randint(0, 255, (4, 40, 48, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    alone = [float(mean_flow(frames[i:i + 2])) for i in range(3)]
    assert mean_flow(frames).tolist() == pytest.approx(alone, rel=1e-5)
