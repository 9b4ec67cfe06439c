"""Fit to the square: pytest tests/stages/decode/test_picture.py"""

import numpy as np
import pytest
from PIL import Image

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


@pytest.mark.parametrize("shape", [(64, 96), (181, 97), (240, 320), (720, 1280), (1280, 720)])
@pytest.mark.parametrize("size_px", [64, 256])
def test_resize_is_pillows_bicubic(shape: tuple[int, int], size_px: int) -> None:
    noise = np.random.default_rng(7).integers(0, 256, (*shape, 3), np.uint8)
    square = fit_picture(noise, (shape[1], shape[0]), size_px, "pad")
    scale = size_px / max(shape)
    height, width = round(shape[0] * scale), round(shape[1] * scale)
    top, left = (size_px - height) // 2, (size_px - width) // 2
    expected = np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))
    error = np.abs(square[top:top + height, left:left + width].astype(int) - expected)
    assert error.max() <= 3 and error.mean() < 0.02


def test_rotated_picture_is_taken_as_it_stands() -> None:
    picture = np.zeros((200, 300, 3), np.uint8)
    picture[:, :150] = 255
    square = fit_picture(np.rot90(picture), (200, 300), 60, "crop")
    assert (square[32:] == 255).all() and (square[:28] == 0).all()
