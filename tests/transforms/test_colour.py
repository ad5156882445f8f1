"""Colour steps against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from stm32pose.transforms.colour import recolour
from stm32pose.transforms.filters import blur


def contrast(image: np.ndarray, factor: float) -> np.ndarray:
    return recolour(image, [("contrast", factor)])


def brightness(image: np.ndarray, levels: float) -> np.ndarray:
    return recolour(image, [("brightness", levels)])


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8)


def reference_contrast(pixels: np.ndarray, factor: float) -> np.ndarray:
    mean = np.rint(pixels).astype(np.uint8).mean(axis=(0, 1))
    return np.clip((np.rint(pixels) - mean) * factor + mean, 0, 255)


@pytest.mark.parametrize("factor", [0.0, 0.6, 1.0, 1.4])
def test_contrast_spreads_each_channel_about_its_mean(image, factor):
    expected = reference_contrast(image.astype(float), factor)
    np.testing.assert_allclose(contrast(image.copy(), factor), expected, atol=0.51)


@pytest.mark.parametrize("levels", [-80.4, 0.0, 33.3])
def test_brightness_adds_levels_and_clips(image, levels):
    expected = np.clip(image + levels, 0, 255)
    np.testing.assert_allclose(brightness(image.copy(), levels), expected, atol=0.51)


def test_steps_are_done_in_their_order(image):
    one = recolour(image.copy(), [("brightness", 90.0), ("contrast", 0.5)])
    expected = reference_contrast(np.clip(image + 90.0, 0, 255), 0.5)
    np.testing.assert_allclose(one, expected, atol=0.51)
    other = recolour(image.copy(), [("contrast", 0.5), ("brightness", 90.0)])
    expected = np.clip(reference_contrast(image.astype(float), 0.5) + 90.0, 0, 255)
    np.testing.assert_allclose(other, expected, atol=0.51)
    assert (one != other).any()


def test_no_step_and_neutral_steps_change_nothing(image):
    for steps in ([], [("contrast", 1.0)], [("brightness", 0.0)], [("blur", (1, "reflect", 0.0))]):
        np.testing.assert_array_equal(recolour(image.copy(), steps), image)


def test_grayscale_of_one_channel(image):
    grey = image[..., :1].copy()
    np.testing.assert_allclose(contrast(grey.copy(), 0.5), reference_contrast(grey.astype(float), 0.5), atol=0.51)
    assert blur(grey.copy(), 4).shape == grey.shape


@pytest.mark.parametrize("padding", ["reflect", "symmetric", "constant"])
@pytest.mark.parametrize("filter_size", [2, 3, 4, 5])
def test_blur_keeps_places_and_light(filter_size, padding):
    image = np.zeros((41, 41, 3), np.uint8)
    image[20, 20] = 250
    blurred = blur(image.copy(), filter_size, padding).astype(float)
    rows, columns = np.mgrid[:41, :41]
    weights = blurred[..., 0]
    assert (weights * columns).sum() / weights.sum() == pytest.approx(20, abs=1e-6)
    assert (weights * rows).sum() / weights.sum() == pytest.approx(20, abs=1e-6)
    assert weights.sum() == pytest.approx(250, rel=0.1)
    assert (weights > 0).sum() == (filter_size + 1 - filter_size % 2) ** 2


def test_constant_padding_is_seen_at_the_border():
    image = np.zeros((9, 9, 3), np.uint8)
    assert blur(image.copy(), 3, "constant", 255.0)[0, 4].tolist() == [85, 85, 85]
    assert blur(image.copy(), 3, "constant", 0.0).max() == 0
