"""A KL-VAE for the encode stage's tests."""

from pathlib import Path

import pytest

from pipeline.contracts.outputs import stage_output
from tests.stages.klvae.small import small_kl


@pytest.fixture()
def klvae(tmp_path: Path) -> Path:
    """A finished klvae stage with random weights."""
    with stage_output(tmp_path / "klvae", params={}, inputs={}, code=tmp_path) as work:
        small_kl().save_pretrained(work.folder)
    return tmp_path / "klvae"
