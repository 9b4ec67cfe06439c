"""PSNR and SSIM, and how figures are written."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.contracts.metrics import metrics_rows
from pipeline.contracts.outputs import stage_output
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


def test_a_figure_without_a_finite_value_is_listed_with_a_reason_and_has_no_number(tmp_path: Path) -> None:
    figures, svg = Figures(), Figure(protocol="demo", task="svg", extractor="local")
    figures.add(svg, ["a", "b"], lambda: [svg.with_value("a", 1.23456789, 0.5, "chance", 8, 0, (1.0, 2.0)),
                                          svg.with_value("b", float("nan"), None, "", 8, 0)])

    def fails() -> list[Figure]:
        raise NotComputable("needs more")

    figures.add(Figure(protocol="demo", task="a2v"), ["c"], fails)
    with stage_output(tmp_path / "evaluate", params={}, inputs={}, code=Path(__file__).parent) as work:
        write_figures(work.folder, figures)
    assert json.loads((tmp_path / "evaluate/metrics.json").read_text()) == {
        "demo/svg/a": 1.23457, "demo/svg/a_floor": 0.5, "demo/svg/a_low": 1.0, "demo/svg/a_high": 2.0}
    found = {(row["task"], row["name"]): row for row in metrics_rows(tmp_path / "evaluate")}
    assert list(found) == [("svg", "a"), ("svg", "b"), ("a2v", "c")]
    assert (found["svg", "a"]["value"], found["svg", "a"]["extractor"], found["svg", "a"]["not_computed"]) == (1.23457, "local", "")
    assert found["svg", "b"]["value"] is None and "finite" in found["svg", "b"]["not_computed"]
    assert found["a2v", "c"]["not_computed"] == "needs more"


def test_six_digits() -> None:
    assert [six_digits(value) for value in (123456.789, 0.000123456789, -0.0)] == [123457.0, 0.000123457, 0.0]
