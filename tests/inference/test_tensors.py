"""Pixels in, real numbers out: tables against the formulas they stand for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm32pose.errors import ConfigError
from stm32pose.inference.tensors import TensorInfo, dequantize, input_table, look_up, quantize

FILE = Path("model.tflite")
PIXELS = np.arange(256)


@settings(max_examples=60, deadline=None)
@given(
    span=st.floats(0.5, 300),
    low=st.floats(-2, 0),
    dtype=st.sampled_from(["int8", "uint8"]),
)
def test_input_table_is_the_formula(span: float, low: float, dtype: str) -> None:
    limits = np.iinfo(dtype)
    tensor = TensorInfo("x", (8, 8, 3), dtype, span / 255, round(limits.min - low * 255 / span))
    scale, offset = span / 255, low
    exact = (scale * PIXELS + offset) / tensor.scale + tensor.zero_point
    table = input_table(tensor, (scale, offset), FILE)
    clear = np.abs(exact - np.floor(exact) - 0.5) > 2e-3
    expected = np.clip(np.rint(exact), limits.min, limits.max)
    assert np.array_equal(table[clear], expected[clear])
    assert np.abs(table - np.clip(exact, limits.min, limits.max)).max() <= 0.502
    assert (np.diff(table.astype(int)) >= 0).all()


def test_usual_files_take_the_pixel_itself() -> None:
    # ST's MoveNet: inputs in [-1, 1] put every pixel on a half; the float32 scale must not tear the table apart.
    st_movenet = TensorInfo("x", (192, 192, 3), "uint8", 0.007843137718737125, 127)
    assert np.array_equal(input_table(st_movenet, (1 / 127.5, -1), FILE), PIXELS)
    unit = TensorInfo("x", (8, 8, 3), "uint8", 0.003921568859368563, 0)
    assert np.array_equal(input_table(unit, (1 / 255, 0), FILE), PIXELS)
    signed = TensorInfo("x", (8, 8, 3), "int8", 1 / 255, -128)
    assert np.array_equal(input_table(signed, (1 / 255, 0), FILE), PIXELS - 128)
    bare = TensorInfo("x", (8, 8, 3), "int32")
    assert np.array_equal(input_table(bare, (1, 0), FILE), PIXELS)


def test_float_input_is_rescaled() -> None:
    table = input_table(TensorInfo("x", (8, 8, 3), "float32"), (1 / 127.5, -1), FILE)
    assert table.dtype == np.float32
    np.testing.assert_allclose(table, PIXELS / 127.5 - 1, atol=1e-7)


@pytest.mark.parametrize(
    ("tensor", "rescaling", "wanted"),
    [
        (TensorInfo("x", (8, 8, 3), "uint8"), (1 / 127.5, -1), "[0, 255]; use scale 1, offset 0"),
        (
            TensorInfo("x", (8, 8, 3), "uint8", 1 / 127.5, 127),
            (1, 0),
            "wants [-0.996, 1]; use scale 1/127.5, offset -1",
        ),
        (TensorInfo("x", (8, 8, 3), "int8", 1 / 255, -128), (1 / 127.5, -1), "wants [0, 1]; use scale 1/255, offset 0"),
    ],
)
def test_wrong_rescaling_is_refused(tensor: TensorInfo, rescaling: tuple[float, float], wanted: str) -> None:
    with pytest.raises(ConfigError) as caught:
        input_table(tensor, rescaling, FILE)
    message = str(caught.value)
    assert message.startswith("preprocessing.rescaling:")
    assert wanted in message
    assert "model.tflite" in message
    assert "\n" not in message


def test_quantize_clips_and_rounds_halves_up() -> None:
    values = np.array([-10.0, -0.5, 0.5, 1.49, 10.0])
    assert quantize(values, 1.0, 0, "int8").tolist() == [-10, 0, 1, 1, 10]
    assert quantize(values * 100, 1.0, 0, "int8").tolist() == [-128, -50, 50, 127, 127]


@settings(max_examples=30, deadline=None)
@given(scale=st.floats(1e-3, 2), zero_point=st.integers(-128, 127), dtype=st.sampled_from(["int8", "uint8", "int16"]))
def test_dequantize_is_the_formula(scale: float, zero_point: int, dtype: str) -> None:
    limits = np.iinfo(dtype)
    stored = np.random.default_rng(0).integers(limits.min, limits.max + 1, (2, 3, 4, 5)).astype(dtype)
    got = dequantize(stored, TensorInfo("y", (3, 4, 5), dtype, scale, zero_point))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, (stored.astype(np.float64) - zero_point) * scale, rtol=1e-5, atol=1e-5)


def test_look_up_is_indexing() -> None:
    images = np.random.default_rng(1).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    for dtype in ("int8", "float32", "int32", "int64", "uint8"):
        table = np.random.default_rng(2).permutation(256).astype(dtype)
        assert np.array_equal(look_up(table, images), table[images])
    view = images[:, ::2, ::2]
    assert np.array_equal(look_up(np.arange(256, dtype=np.float32), view), view.astype(np.float32))
