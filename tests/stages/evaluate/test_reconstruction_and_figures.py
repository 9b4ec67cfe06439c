"""PSNR and SSIM, and how figures are written."""

import json
from pathlib import Path

import numpy as np
import pytest

from stages.evaluate.figures import Figure, Figures, NotComputable, six_digits, write_figures
from stages.evaluate.reconstruction import psnr_db, ssim


def test_psnr_of_a_known_error() -> None:
    original = np.full((2, 4, 8, 8, 3), 100, np.uint8)
    wrong = original.copy()
    wrong[0] += 10  # mean squared error 100: 10 log10(255^2 / 100) = 28.13 dB; the other item has none: 100 dB
    assert psnr_db(wrong, original) == pytest.approx((10 * np.log10(255 ** 2 / 100) + 100) / 2, abs=1e-3)


def test_ssim_falls_with_noise_and_refuses_small_or_unequal_images() -> None:
    random = np.random.default_rng(0)
    original = random.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    values = [ssim(np.clip(original + random.normal(0, level, original.shape), 0, 255).astype(np.uint8), original) for level in (0, 20, 80)]
    assert values[0] > 0.99 and values == sorted(values, reverse=True)
    with pytest.raises(NotComputable, match="11 px"):
        ssim(original[:, :8], original[:, :8])
    with pytest.raises(NotComputable, match="shape"):
        psnr_db(original[:, :8], original)


def test_a_figure_without_a_finite_value_is_listed_and_not_written(tmp_path: Path) -> None:
    figures = Figures()
    figures.add("svg", ["a", "b"], lambda: [Figure(name="a", task="svg", value=1.23456789, floor=0.5, floor_kind="chance"),
                                            Figure(name="b", task="svg", value=float("nan"))])

    def fails() -> list[Figure]:
        raise NotComputable("needs more")

    figures.add("a2v", ["c"], fails)
    write_figures(tmp_path, figures)
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"svg": {"a": 1.23457, "a_floor": 0.5}}
    assert {(row["name"], row["task"]) for row in json.loads((tmp_path / "not_computed.json").read_text())} == {("b", "svg"), ("c", "a2v")}
    header = (tmp_path / "metrics.csv").read_text().splitlines()[0]
    assert header.startswith("name,task,value,floor,floor_kind,extractor,weights,input,reference,num_samples")


def test_six_digits() -> None:
    assert [six_digits(value) for value in (123456.789, 0.000123456789, -0.0)] == [123457.0, 0.000123457, 0.0]
