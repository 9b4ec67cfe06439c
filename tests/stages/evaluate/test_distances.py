"""Frechet and kernel distances against closed forms, and the floors. `pytest tests/stages/evaluate/test_distances.py`"""

import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from stages.evaluate.distances import Comparison, Counts, Rows, distance_figures, floor_of, metric_names, rows_of
from stages.evaluate.extractors.catalogue import AbsentExtractor
from stages.evaluate.figures import Figure, NotComputable
from stages.evaluate.frechet import frechet_distance, gaussian_frechet_distance, rank_note
from stages.evaluate.mmd import polynomial_kernels, polynomial_mmd

TEMPLATE = Figure(protocol="demo", task="svg", extractor="local")
COUNTS = Counts(min_samples=16, wanted=24, replicates=100)


def test_frechet_of_diagonal_gaussians_is_the_closed_form() -> None:
    mean_x, mean_y = np.array([0.0, 1.0, -2.0]), np.array([0.5, 1.0, 2.0])
    var_x, var_y = np.array([1.0, 4.0, 0.25]), np.array([9.0, 1.0, 0.0])
    expected = ((mean_x - mean_y) ** 2).sum() + ((np.sqrt(var_x) - np.sqrt(var_y)) ** 2).sum()
    assert gaussian_frechet_distance(mean_x, np.diag(var_x), mean_y, np.diag(var_y)) == pytest.approx(expected, rel=1e-12)


def test_frechet_agrees_with_the_complex_matrix_square_root() -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(300, 12)) @ random.normal(size=(12, 12)), random.normal(size=(200, 12)) + 1
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cov_x + cov_y - 2 * scipy.linalg.sqrtm(cov_x @ cov_y).real)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)


def test_frechet_and_kernel_distance_agree_with_torchmetrics() -> None:
    random = np.random.default_rng(9)
    x, y = random.normal(size=(160, 20)) @ random.normal(size=(20, 20)), random.normal(0.3, 2.0, size=(160, 20))
    parts = [(torch.from_numpy(a.mean(0)), torch.from_numpy(np.cov(a, rowvar=False))) for a in (x, y)]
    assert frechet_distance(x, y) == pytest.approx(float(_compute_fid(*parts[0], *parts[1])), rel=1e-6)
    assert polynomial_mmd(x, y) == pytest.approx(float(poly_mmd(torch.from_numpy(x), torch.from_numpy(y))), rel=1e-6)


def test_frechet_of_fewer_rows_than_features_is_that_of_their_covariances() -> None:
    random = np.random.default_rng(10)
    x, y = random.normal(size=(9, 30)), random.normal(1.0, 2.0, size=(14, 30))
    parts = [(a.mean(0), np.cov(a, rowvar=False)) for a in (x, y)]
    assert frechet_distance(x, y) == pytest.approx(gaussian_frechet_distance(*parts[0], *parts[1]), rel=1e-6)


def test_order_and_repetition_of_rows() -> None:
    random = np.random.default_rng(11)
    x, y = random.normal(size=(50, 7)), random.normal(size=(40, 7))
    counts_x, counts_y = random.integers(0, 4, 50), random.integers(0, 4, 40)
    repeated = np.repeat(x, counts_x, axis=0), np.repeat(y, counts_y, axis=0)
    assert frechet_distance(x, y, counts_x, counts_y) == pytest.approx(frechet_distance(*repeated), rel=1e-9)
    assert frechet_distance(x[::-1], y) == pytest.approx(frechet_distance(x, y), rel=1e-12)
    assert polynomial_mmd(x[::-1], y) == pytest.approx(polynomial_mmd(x, y), rel=1e-9)


def test_a_row_drawn_twice_is_no_evidence_about_itself() -> None:
    random = np.random.default_rng(12)
    kernels = polynomial_kernels(random.normal(size=(60, 4)), random.normal(size=(60, 4)))
    assert kernels.mmd(np.ones(60, int), np.ones(60, int)) == pytest.approx(kernels.mmd(), rel=1e-9)
    redrawn = [kernels.mmd(random.multinomial(60, [1 / 60] * 60), random.multinomial(60, [1 / 60] * 60)) for _ in range(400)]
    assert abs(np.mean(redrawn) - kernels.mmd()) < 0.5 * np.std(redrawn)


@pytest.mark.parametrize(("rows", "rank"), [(6, 5), (40, 9)])
def test_a_covariance_without_full_rank_is_named(rows: int, rank: int) -> None:
    x = np.random.default_rng(13).normal(size=(rows, 10))
    x[:, 3] = 1.0
    assert f"rank {rank} " in rank_note(x, "samples") and "of 10" in rank_note(x, "samples")
    assert rank_note(np.random.default_rng(13).normal(size=(40, 10)), "samples") == ""


def test_frechet_of_fewer_samples_than_features_is_real_and_zero_for_equal_sets() -> None:
    x = np.random.default_rng(1).normal(size=(5, 40))
    assert frechet_distance(x, x) == 0
    shift = np.zeros(40)
    shift[3] = 2.0
    assert frechet_distance(x, x + shift) == pytest.approx(4.0, rel=1e-9)


def test_frechet_in_one_dimension_is_means_and_deviations() -> None:
    assert frechet_distance(np.array([[0.0], [2.0]]), np.array([[1.0], [5.0]])) == pytest.approx(2 ** 2 + (np.sqrt(2) - np.sqrt(8)) ** 2)


def test_kernel_distance_by_hand() -> None:
    # k(a, b) = (a b + 1)^3: k(0, 1) = 1, k(2, 3) = 343; cross: k(0, 2) = k(0, 3) = 1, k(1, 2) = 27, k(1, 3) = 64
    expected = 1 + 343 - 2 * (1 + 1 + 27 + 64) / 4
    assert polynomial_mmd(np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]])) == pytest.approx(expected)


def test_kernel_distance_has_no_bias_where_the_plain_mean_would() -> None:
    random = np.random.default_rng(2)
    values = [polynomial_mmd(random.normal(size=(20, 4)), random.normal(size=(20, 4))) for _ in range(300)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert min(values) < 0


@pytest.mark.parametrize("distance", [frechet_distance, polynomial_mmd])
def test_distances_grow_with_noise(distance) -> None:  # type: ignore[no-untyped-def]
    random = np.random.default_rng(3)
    x, y, noise = random.normal(size=(200, 8)), random.normal(size=(200, 8)), random.normal(size=(200, 8))
    found = [distance(x, y + level * noise) for level in (0.0, 0.5, 1.0, 2.0)]
    assert found == sorted(found)


@pytest.mark.parametrize("distance", [frechet_distance, polynomial_mmd])
def test_unequal_widths_single_rows_and_nan_are_refused(distance) -> None:  # type: ignore[no-untyped-def]
    x = np.zeros((4, 3))
    for bad in (np.zeros((4, 2)), np.zeros((1, 3)), np.full((4, 3), np.nan)):
        with pytest.raises(ValueError, match="needs"):
            distance(x, bad)


def rows(features: np.ndarray) -> Rows:
    """Every row its own source."""
    names = [f"w{i}" for i in range(len(features))]
    return Rows(features, names, names)


def fvd_of(samples: np.ndarray, reference: np.ndarray, floor: tuple[np.ndarray, np.ndarray] | None = None) -> Figure:
    return distance_figures(Comparison(rows(samples), rows(reference), floor), TEMPLATE, ["fvd_local"], COUNTS, seed=1)[0]


def test_the_floor_uses_as_many_real_windows_as_there_are_samples() -> None:
    random = np.random.default_rng(4)
    reference, others, samples = random.normal(size=(50, 4)), random.normal(size=(60, 4)), random.normal(size=(20, 4)) + 3
    fvd = fvd_of(samples, reference, floor_of(others, reference, 20))
    assert (fvd.name, fvd.num_samples, fvd.num_reference) == ("fvd_local", 20, 50)
    assert fvd.floor == frechet_distance(others[:20], reference)
    assert fvd.floor_kind == "real against real, equal counts"
    assert fvd.value is not None and fvd.value > 5 * fvd.floor


def test_without_enough_real_windows_there_is_no_floor_rather_than_one_of_another_size() -> None:
    random = np.random.default_rng(5)
    reference = random.normal(size=(50, 4))
    assert floor_of(random.normal(size=(19, 4)), reference, 20) is None
    fvd = fvd_of(random.normal(size=(20, 4)), reference)
    assert (fvd.floor, fvd.floor_kind) == (None, "")


def test_intervals_hold_the_value_and_narrow_with_more_samples() -> None:
    random = np.random.default_rng(14)
    reference = random.normal(size=(400, 4))
    found = [distance_figures(Comparison(rows(random.normal(0.5, 1, size=(count, 4))), rows(reference), None), TEMPLATE,
                              ["fvd_local", "kvd_local"], COUNTS, seed=1) for count in (40, 640)]
    for few, many in zip(*found, strict=True):
        widths = [figure.high - figure.low for figure in (few, many)]  # type: ignore[operator]
        assert all(figure.low < figure.value < figure.high for figure in (few, many))  # type: ignore[operator]
        assert widths[1] < 0.6 * widths[0]


def test_fewer_samples_than_the_protocol_has_and_lacking_rank_are_said() -> None:
    random = np.random.default_rng(15)
    note = fvd_of(random.normal(size=(20, 30)), random.normal(size=(90, 30))).note
    assert note.startswith("20 samples, the protocol has 24; covariance of samples has rank 19 at most of 30")
    assert fvd_of(random.normal(size=(60, 3)), random.normal(size=(90, 3))).note == ""


@pytest.mark.parametrize(("num_samples", "num_reference", "says"), [(15, 50, "there are 15; raise sample.num_samples"),
                                                                     (20, 3, "there are 3; add clips")])
def test_too_few_is_absent_with_the_way_out(num_samples: int, num_reference: int, says: str) -> None:
    random = np.random.default_rng(6)
    with pytest.raises(NotComputable, match=says):
        fvd_of(random.normal(size=(num_samples, 4)), random.normal(size=(num_reference, 4)))


def test_features_that_are_not_finite_name_the_samples() -> None:
    random = np.random.default_rng(7)
    samples = random.normal(size=(20, 4))
    samples[[2, 9], 1] = np.inf
    with pytest.raises(NotComputable, match=r"2 samples are not \(w2, w9\)"):
        fvd_of(samples, random.normal(size=(50, 4)))


def test_perfect_reconstructions_have_distance_zero_under_a_floor_above_it() -> None:
    random = np.random.default_rng(8)
    originals, others = random.normal(size=(20, 4)), random.normal(size=(50, 4))
    rfvd = fvd_of(originals, originals, floor_of(others, random.normal(size=(20, 4)), 20))
    assert rfvd.value == pytest.approx(0, abs=1e-9)
    assert rfvd.floor is not None and rfvd.floor > 0.01


def test_names_say_what_was_compared() -> None:
    sees, hears = (AbsentExtractor(name, modality, metrics, "") for name, modality, metrics in (
        ("i3d_tats", "video", ("fvd", "kvd")), ("vggish", "audio", ("fad",))))
    assert metric_names(sees) == ["fvd_i3d_tats", "kvd_i3d_tats"]
    assert metric_names(hears, "train") == ["fad_vggish_to_train"]
    assert metric_names(sees, "originals") == ["rfvd_i3d_tats", "rkvd_i3d_tats"]


def test_a_published_factor_is_on_the_value_its_floor_and_its_interval_but_not_on_a_kernel_distance() -> None:
    random = np.random.default_rng(16)
    compared = Comparison(rows(random.normal(size=(40, 4))), rows(random.normal(0.5, 1, size=(40, 4))), (random.normal(size=(40, 4)),) * 2)
    plain, times = (distance_figures(compared, TEMPLATE, ["fad_audioclip", "kvd_x"], COUNTS, 1, scale) for scale in (1.0, 10000.0))
    for name in ("value", "low", "high"):
        assert getattr(times[0], name) == pytest.approx(10000 * getattr(plain[0], name))
        assert getattr(times[1], name) == getattr(plain[1], name)


def test_rows_of_several_parts_belong_to_their_window() -> None:
    class Windows:
        origins = [("a.mp4", 0.0), ("b.mp4", 0.0)]  # noqa: RUF012
        names = ["a", "b"]  # noqa: RUF012

    features = np.arange(12.0).reshape(2, 3, 2)
    found = rows_of(features, Windows())  # type: ignore[arg-type]
    assert found.features.tolist() == features.reshape(6, 2).tolist()
    assert found.sources == ["a.mp4"] * 3 + ["b.mp4"] * 3 and found.windows == 2
    assert floor_of(features, features, 2) is not None and floor_of(features, features, 3) is None
