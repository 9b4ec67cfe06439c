"""Bits that survive a codec and tell strangers apart: pytest tests/stages/inventory/test_fingerprint.py"""

import numpy as np
import pytest

from stages.inventory.fingerprint import RATE_HZ, SOUND_HZ, SoundWords, picture_hash
from stages.inventory.near_duplicates import Fingerprint, compare, likely_pairs
from tests.stages.inventory.scenes import picture


def words(wave: np.ndarray, piece: int = 1000) -> np.ndarray:
    found = SoundWords()
    for begin in range(0, len(wave), piece):
        found.add(wave[begin:begin + piece].astype(np.float32))
    return found.finish()


def noise(seed: int, seconds: float) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))


def gray(seed: int, time_sec: float) -> np.ndarray:
    return np.clip(picture(seed, time_sec, (32, 32)), 0, 255).astype(np.uint8)


def fingerprint(name: str, seed: int, *, start_sec: float = 0.0, seconds: float = 8.0) -> Fingerprint:
    wave = noise(seed, 20.0)[round(start_sec * RATE_HZ):round((start_sec + seconds) * RATE_HZ)]
    hashes = [picture_hash(gray(seed, start_sec + i / 4)) for i in range(round(4 * seconds))]
    return Fingerprint(name, np.array(hashes, np.uint64), words(wave), 0.0)


def differing(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.bitwise_count(a ^ b).mean()) / (8 * a.itemsize)


def test_one_word_an_eighth_of_a_second_however_the_sound_comes() -> None:
    wave = noise(0, 5.3)
    whole = words(wave, 10**6)
    assert len(whole) == int(np.ceil(5.3 * SOUND_HZ)) and whole.dtype == np.uint32
    for piece in (160, 33333):
        assert np.array_equal(words(wave, piece), whole)


def test_silence_and_one_colour_tell_nothing() -> None:
    assert not words(np.zeros(RATE_HZ)).any()
    assert picture_hash(np.full((32, 32), 120, np.uint8)) == (0, 0)
    assert all(picture_hash(gray(0, 0.0)))


def test_louder_and_noisier_is_the_same_and_another_sound_is_not() -> None:
    wave, other = noise(0, 8.0), noise(1, 8.0)
    assert differing(words(wave), words(0.3 * wave + 0.01 * noise(2, 8.0))) < 0.1
    assert differing(words(wave), words(other)) == pytest.approx(0.5, abs=0.05)


def test_darker_is_the_same_picture() -> None:
    dark = (gray(0, 0.0) * 0.7 + 20).astype(np.uint8)
    (positive, negative), (dark_positive, dark_negative) = picture_hash(gray(0, 0.0)), picture_hash(dark)
    assert positive & dark_negative == 0 == negative & dark_positive
    assert (positive ^ dark_positive).bit_count() + (negative ^ dark_negative).bit_count() <= 6


@pytest.mark.parametrize("start_sec", [0.0, 1.0, 2.3])
def test_a_part_is_found_where_it_lies(start_sec: float) -> None:
    likeness = compare(fingerprint("a", 1), fingerprint("b", 1, start_sec=start_sec, seconds=5.0))
    assert likeness is not None and likeness.lag_sec == pytest.approx(-start_sec, abs=0.13)


def test_a_codec_s_noise_opposes_no_bit_of_a_picture_with_little_in_it() -> None:
    """A ball before one colour: most frequencies are near zero, where the noise decides."""
    x, y = np.meshgrid(np.arange(32), np.arange(32))
    ball = np.where((x - 20) ** 2 + (y - 9) ** 2 < 12, 200.0, 30.0)
    (positive, negative), (other_positive, other_negative) = (
        picture_hash(ball + np.random.default_rng(seed).normal(0, 1.0, ball.shape)) for seed in (1, 2))
    assert positive & other_negative == 0 == negative & other_positive


def test_of_a_sound_that_repeats_itself_the_pictures_tell_the_shift() -> None:
    second = noise(3, 1.0)
    beats = words(np.tile(second, 8))
    hashes = [np.array([picture_hash(gray(4, start + i / 4)) for i in range(24)], np.uint64) for start in (0.0, 2.0)]
    likeness = compare(Fingerprint("a", hashes[0], beats, 0.0), Fingerprint("b", hashes[1], beats[:48], 0.0))
    assert likeness is not None and likeness.lag_sec == pytest.approx(-2.0, abs=0.01)


def test_a_short_beginning_in_common_is_not_enough() -> None:
    jingle, rest = fingerprint("x", 5, seconds=2.0), [fingerprint(str(seed), seed, start_sec=2.0) for seed in (1, 2)]
    first, second = (Fingerprint(name, np.concatenate([jingle.picture_hashes, own.picture_hashes]),
                                 np.concatenate([jingle.sound_words, own.sound_words]), 0.0) for name, own in zip("ab", rest, strict=True))
    assert compare(first, second) is None


def test_pairs_are_the_same_in_any_order_and_every_copy_has_one() -> None:
    sources = [fingerprint(f"{seed} {start}", seed, start_sec=start, seconds=6.0) for seed in range(5) for start in (0.0, 0.5, 1.0)]
    pairs = likely_pairs(sources)
    assert pairs == likely_pairs(sources[::-1])
    assert {(pair.first[0], pair.second[0]) for pair in pairs} == {(str(seed), str(seed)) for seed in range(5)}
    assert {name for pair in pairs for name in (pair.first, pair.second)} == {source.sha256 for source in sources}
