"""Fit to the square: pytest tests/stages/decode/test_picture.py"""

import numpy as np
import pytest

from stages.decode.picture import fit_picture


def test_pad_keeps_the_shape_between_black_bars() -> None:
    square = fit_picture(np.full((90, 160, 3), 200, np.uint8), (160, 90), 64, "pad")
    assert square.shape == (64, 64, 3)
    assert (square[14:50] == 200).all() and (square[:14] == 0).all() and (square[50:] == 0).all()


def test_crop_takes_the_centre() -> None:
    picture = np.zeros((100, 300, 3), np.uint8)
    picture[:, 100:200] = 255
    assert (fit_picture(picture, (300, 100), 64, "crop")[:, 2:-2] == 255).all()


def test_pixels_that_are_not_square_are_shown_in_their_shape() -> None:
    square = fit_picture(np.full((64, 64, 3), 200, np.uint8), (128, 64), 64, "pad")
    assert (square[16:48] == 200).all() and (square[:16] == 0).all()


@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_shrinking_is_antialiased(fit: str) -> None:
    stripes = np.zeros((720, 720, 3), np.uint8)
    stripes[:, ::2] = 255
    square = fit_picture(stripes, (720, 720), 64, fit)  # type: ignore[arg-type]
    assert np.abs(square.astype(int) - 127).max() < 12
