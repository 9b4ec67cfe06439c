"""The tiny preset's networks, and shards of moments whose content is a formula."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.contracts.moments import moments_sample
from pipeline.contracts.outputs import stage_output
from pipeline.params import Params, load_params
from stages.autoencoder.model import MultiModalAutoencoder, Shapes
from stages.klvae.model import build_scratch
from tests.shards import write_shards

ROOT = Path(__file__).parents[3]


@pytest.fixture
def params() -> Params:
    """tests/presets/tiny.yaml: KL-VAE latents [4, 4, 4], 16 frames."""
    return load_params(ROOT / "tests/presets/tiny.yaml")


@pytest.fixture
def paper() -> Params:
    """The paper's sizes."""
    return load_params(ROOT / "pipeline/presets/landscape.yaml")


@pytest.fixture
def shapes() -> Shapes:
    return Shapes(kl_channels=4, kl_side=4, num_frames=16, class_names=("bounce", "lamp"))


@pytest.fixture
def network(params: Params, shapes: Shapes) -> MultiModalAutoencoder:
    """A fresh network whose zero-initialised layers have been moved, so that every path has an effect."""
    torch.manual_seed(0)
    network = MultiModalAutoencoder(params.autoencoder, shapes).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return network


@pytest.fixture
def encoded(tmp_path: Path) -> Callable[..., Path]:
    """Factory of an encode stage's output: `encoded(clips=6, num_frames=20, classes=2)`; half of the clips are held out. Mirrored
    frames are the frames with the other sign."""

    def make(clips: int = 6, num_frames: int = 20, classes: int = 2, starts: tuple[int, ...] = (0, 4), flips: bool = True) -> Path:
        out = tmp_path / "data/encode"
        with stage_output(out, params={}, inputs={}, code=Path(__file__).parent) as work:
            write_shards(work, (
                moments_sample(moments(i, num_frames), moments(i + 100, len(starts)), {
                    "clip_id": f"{i:016x}_000000", "class_id": i % classes, "class_name": f"class {i % classes}",
                    "split": "train" if i < clips // 2 else "test", "window_starts": list(starts)},
                    -moments(i, num_frames) if flips else None)
                for i in range(clips)))
        return out

    return make


@pytest.fixture
def klvae(tmp_path: Path, params: Params) -> Path:
    """An untrained KL-VAE as the klvae stage leaves it."""
    torch.manual_seed(1)
    out = tmp_path / "data/klvae"
    with stage_output(out, params={}, inputs={}, code=Path(__file__).parent) as work:
        build_scratch(params.klvae, params.kl_latent).save_pretrained(work.folder)
    return out


def moments(seed: int, count: int) -> np.ndarray:
    """float16 [count, 8, 4, 4]: a pattern of the clip whose first channel moves from frame to frame, log-variance -8."""
    random = np.random.default_rng(seed)
    mean = np.tile(random.standard_normal((1, 4, 4, 4)), (count, 1, 1, 1))
    mean[:, 0] += np.sin(np.arange(count) / 3)[:, None, None]
    return np.concatenate([mean, np.full_like(mean, -8)], axis=1).astype(np.float16)
