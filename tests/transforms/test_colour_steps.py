"""Every colour step against Pillow, colorsys or plain numpy, and that each leaves every pixel where it is."""

from __future__ import annotations

import colorsys
import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from stm32pose.transforms.chain import OPERATIONS, build_chain
from stm32pose.transforms.colour import recolour
from stm32pose.transforms.labels import MovingLabels
from stm32pose.transforms.operations import Colouring

ARGUMENTS = {
    "random_contrast": {"factor": (0.4, 0.5)},
    "random_brightness": {"factor": (0.2, 0.3)},
    "random_gamma": {"gamma": (0.4, 0.5)},
    "random_posterize": {"bits": (1, 3)},
    "random_hue": {"delta": (0.2, 0.3)},
    "random_saturation": {"delta": (-0.5, -0.4)},
    "random_value": {"delta": (-0.5, -0.4)},
    "random_hsv": {"hue_delta": (0.2, 0.3), "saturation_delta": 0.1, "value_delta": 0.1},
    "random_blur": {"filter_size": 3},
    "random_sharpness": {"factor": (2, 3)},
    "random_jpeg_quality": {"jpeg_quality": (5, 20)},
    "random_gaussian_noise": {"stddev": 0.05},
}
COLOURING = [name for name, operation in OPERATIONS.items() if isinstance(operation, Colouring)]


@pytest.fixture
def image() -> np.ndarray:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:37, :53]
    smooth = 90 + 70 * np.sin(rows / 9)[..., None] * np.cos(columns / np.array([[[7]], [[11]], [[5]]])).transpose(
        1, 2, 0
    )
    return np.clip(smooth + rng.normal(0, 20, (37, 53, 3)), 20, 235).astype(np.uint8)


def done(image, name, strength=None):
    return recolour(image.copy(), [(name, strength)])


def steps_for(name: str, seed: int, shape=(64, 64, 3)):
    chain = build_chain({name: {**ARGUMENTS.get(name, {}), "change_rate": 1}}, input_shape=shape)
    none = np.zeros((0, 3, 3)), np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64)
    labels = MovingLabels(*none, np.eye(3)[None], None)
    ((layer,),), matrices = chain.draw(np.random.default_rng(seed).random((1, chain.draws)), labels)
    np.testing.assert_array_equal(matrices, [np.eye(3)])
    return layer.steps


@pytest.mark.parametrize("name", COLOURING)
def test_every_one_changes_the_image_and_keeps_shape_and_type(name, image):
    changed = 0
    for seed in range(6):
        result = recolour(image.copy(), steps_for(name, seed))
        assert (result.shape, result.dtype) == (image.shape, image.dtype)
        changed += (result != image).any()
    assert changed >= 5


@pytest.mark.parametrize("name", COLOURING)
def test_no_pixel_moves(name):
    """A square stays where it is: outside of it and of a filter's reach nothing but what happens to a flat image."""
    flat = np.full((48, 64, 3), (70, 90, 120), np.uint8)
    dotted = flat.copy()
    dotted[20:28, 40:48] = (200, 180, 30)
    steps = steps_for(name, 1)
    if name in ("random_contrast", "random_autocontrast", "random_equalize"):  # these look at the whole image
        result = recolour(dotted.copy(), steps)
        assert len(np.unique(result[:20].reshape(-1, 3), axis=0)) == 1
        assert (result[20:28, 40:48] != result[0, 0]).any(axis=-1).all()
        return
    difference = np.abs(recolour(dotted, steps).astype(int) - recolour(flat, steps)).max(axis=-1) > 0
    rows, columns = np.nonzero(difference)
    reach = 10 if name == "random_jpeg_quality" else 1 if name in ("random_blur", "random_sharpness") else 0
    assert difference[21:27, 41:47].mean() > 0.9
    assert rows.min() >= 20 - reach
    assert rows.max() <= 27 + reach
    assert columns.min() >= 40 - reach
    assert columns.max() <= 47 + reach


@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize_is_pillows(image, bits):
    np.testing.assert_array_equal(done(image, "posterize", bits), ImageOps.posterize(Image.fromarray(image), bits))


@pytest.mark.parametrize("threshold", [0, 90, 255])
def test_solarize_is_pillows(image, threshold):
    np.testing.assert_array_equal(
        done(image, "solarize", threshold), ImageOps.solarize(Image.fromarray(image), threshold)
    )


def test_invert_and_equalize_are_pillows(image):
    np.testing.assert_array_equal(done(image, "invert"), ImageOps.invert(Image.fromarray(image)))
    np.testing.assert_array_equal(done(image, "equalize"), ImageOps.equalize(Image.fromarray(image)))
    flat = np.full((9, 9, 3), 77, np.uint8)
    np.testing.assert_array_equal(done(flat, "equalize"), flat)


@pytest.mark.parametrize("cutoff", [0, 1, 10, 40])
def test_autocontrast_is_pillows(image, cutoff):
    expected = np.asarray(ImageOps.autocontrast(Image.fromarray(image), cutoff)).astype(int)
    np.testing.assert_allclose(done(image, "autocontrast", cutoff), expected, atol=1)  # Pillow cuts, we round
    flat = np.full((9, 9, 3), 77, np.uint8)
    np.testing.assert_array_equal(done(flat, "autocontrast", cutoff), flat)


@pytest.mark.parametrize("factor", [0.0, 0.5, 3.0])
def test_sharpness_is_pillows(image, factor):
    expected = np.asarray(ImageEnhance.Sharpness(Image.fromarray(image)).enhance(1 + factor)).astype(int)
    # Pillow rounds its smooth image before it extrapolates.
    np.testing.assert_allclose(done(image, "sharpen", factor), expected, atol=1 + factor)


@pytest.mark.parametrize("quality", [5, 40, 90])
def test_jpeg_quality_is_what_pillow_saves(image, quality):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    expected = np.asarray(Image.open(buffer)).astype(int)
    result = done(image, "compress", quality).astype(int)
    assert np.abs(result - expected).mean() < 3
    assert np.abs(result - expected).mean() < np.abs(result[..., ::-1] - expected).mean() / 3
    np.testing.assert_array_equal(done(image, "compress", 100), image)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.2])
def test_gamma_is_a_power_of_the_share_of_white(image, exponent):
    np.testing.assert_allclose(done(image, "gamma", exponent), 255 * (image / 255) ** exponent, atol=0.51)


def test_grey_is_the_luma_in_three_channels(image):
    expected = np.asarray(Image.fromarray(image).convert("L")).astype(int)
    for channel in range(3):
        np.testing.assert_allclose(done(image, "grey")[..., channel], expected, atol=1)


@pytest.mark.parametrize(
    "deltas", [(0, 0, 0), (0.3, 0, 0), (-0.9, 0, 0), (0, 0.4, 0), (0, -0.5, 0), (0, 0, -0.3), (0.1, 0.2, 0.3)]
)
def test_hue_saturation_and_value_are_shifted(image, deltas):
    expected = np.empty(image.shape)
    for place in np.ndindex(image.shape[:2]):
        hue, *rest = colorsys.rgb_to_hsv(*(image[place] / 255))
        saturation, value = np.clip(np.add(rest, deltas[1:]), 0, 1)
        expected[place] = 255 * np.array(colorsys.hsv_to_rgb((hue + deltas[0]) % 1, saturation, value))
    difference = np.abs(done(image, "hsv", deltas) - expected)
    # A byte of hue is 1.4 degrees, which is several levels of a strong colour; on the whole it hardly shows.
    assert difference.max() < 12
    assert difference.mean() < 1.6


def test_planes_are_hue_saturation_and_value(image):
    planes = done(image, "planes") / 255
    for place in ((0, 0), (5, 9), (30, 50)):
        hue, saturation, value = colorsys.rgb_to_hsv(*(image[place] / 255))
        np.testing.assert_allclose(planes[place], [hue, saturation, value], atol=0.01)


def test_saturation_times_a_factor_and_exchanged_channels(image):
    np.testing.assert_allclose(
        done(image, "saturate", 0.0), image.max(axis=-1, keepdims=True).repeat(3, axis=-1), atol=1
    )
    np.testing.assert_array_equal(done(image, "permute", (2, 0, 1)), image[..., [2, 0, 1]])


def test_noise_has_its_deviation_no_mean_and_a_place_of_its_own():
    grey = np.full((200, 210, 3), 128, np.uint8)
    for deviation in (2.0, 12.0):
        noise = done(grey, "noise", (deviation, 0.3)).astype(float) - 128
        assert noise.std() == pytest.approx(np.hypot(deviation, 0.29), rel=0.02)
        assert abs(noise.mean()) < 0.1
    np.testing.assert_array_equal(done(grey, "noise", (5.0, 0.3)), done(grey, "noise", (5.0, 0.3)))
    other = done(grey, "noise", (5.0, 0.30001)).astype(float) - 128
    assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.02
    assert done(grey, "noise", (5.0, 0.9999999)).std() > 4
    np.testing.assert_array_equal(done(grey, "noise", (0.0, 0.5)), grey)


def test_steps_of_all_ways_follow_each_other(image):
    steps = [("brightness", 20.0), ("hsv", (0.2, 0, 0)), ("hsv", (0, 0.2, 0)), ("invert", None)]
    steps += [("blur", (3, "reflect", 0)), ("saturate", 0.5), ("contrast", 1.3), ("gamma", 0.8), ("compress", 95)]
    together, apart = recolour(image.copy(), steps).astype(int), image.copy()
    for step in steps:
        recolour(apart, [step])
    # One table and one conversion for a run of steps round less often than one for each step.
    assert np.abs(together - apart).mean() < 2
    backwards = recolour(image.copy(), steps[::-1]).astype(int)
    assert np.abs(together - backwards).mean() > 5


def test_photometric_does_each_of_its_changes_for_half_of_the_images():
    seen = [steps_for("random_photometric", seed) for seed in range(300)]
    names = [[name for name, _ in steps] for steps in seen]
    for name in ("brightness", "scale", "saturate", "hsv", "permute"):
        assert np.mean([name in row for row in names]) == pytest.approx(0.5, abs=0.1)
    assert any(row[:1] == ["scale"] for row in names)
    assert any("saturate" in row[:-1] and row[-1] == "scale" for row in names)
    amounts = [strength for steps in seen for name, strength in steps if name == "brightness"]
    assert min(amounts) < -25
    assert 25 < max(amounts) <= 32
    turns = [strength[0] for steps in seen for name, strength in steps if name == "hsv"]
    assert 0.08 < max(turns) <= 0.1
    chain = build_chain({"random_photometric": {"channel_swap": False}}, input_shape=(8, 8, 3))
    assert chain.links[0].arguments["channel_swap"] is False
