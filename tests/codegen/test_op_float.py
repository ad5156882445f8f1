"""QUANTIZE, DEQUANTIZE, CAST, float32 and int32 arithmetic against LiteRT's reference kernels, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from codegen.kernel_driver import Driver
from codegen.one_op import T
from codegen.op_check import check, compare, examples, noise, onnx_calls, quantized, scales, zero_points
from codegen.run_c import needs_cc
from hypothesis import given
from hypothesis import strategies as st

from stm32pose.codegen.network import Tensor

pytestmark = needs_cc
TYPES = ("int8", "uint8", "int32", "int64", "float32", "bool")
PAIRS = (((1, 4, 5, 3), (4, 5, 3)), ((1, 17), ()), ((1, 17), (1, 1)), ((2, 1, 3), (1, 5, 1)), ((6,), (6,)))


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver(("kernels_float", "kernels_table")) as made:
        yield made


def halves(scale: float, zero: int) -> np.ndarray:
    """Values on, and next to, the borders between steps, and outside as far as LiteRT's own sum does not overflow."""
    steps = (np.arange(-300, 300) + np.float32(0.5)).astype(np.float32) * np.float32(scale)
    near = [steps, np.nextafter(steps, np.float32(np.inf)), np.nextafter(steps, np.float32(-np.inf))]
    far = np.array([0.0, -0.0, 1e6, -1e6, 3e8, -3e8], np.float32) * np.float32(scale)
    return np.concatenate([*near, far])[None]


@examples(20)
@given(st.sampled_from(["int8", "uint8"]), scales, zero_points)
def test_quantize(driver, dtype, scale, zero) -> None:
    values = halves(scale, zero)
    zero += 128 if dtype == "uint8" else 0
    (call,) = check(driver, "QUANTIZE", [T(values.shape, "float32")], T(values.shape, dtype, scale, zero), fed=[values])
    assert call.leads == (0,)


@examples(12)
@given(st.sampled_from(["int8", "uint8"]), scales, zero_points)
def test_dequantize(driver, dtype, scale, zero) -> None:
    zero += 128 if dtype == "uint8" else 0
    check(driver, "DEQUANTIZE", [T((1, 7, 41), dtype, scale, zero)], T((1, 7, 41), "float32"))


@pytest.mark.parametrize("before", TYPES)
@pytest.mark.parametrize("after", TYPES)
def test_cast(driver, before, after) -> None:
    values = noise((1, 67), before, 3)
    if before == "float32" and after in ("int8", "uint8", "int32", "int64"):
        values = np.clip(values, 0 if after == "uint8" else -100, 120)  # what does not fit is left open
    options = schema.CastOptionsT()
    quantization = dict.fromkeys(("int8", "uint8"), (0.5, 3))
    tensors = [T((1, 67), dtype, *quantization.get(dtype, (None, 0))) for dtype in (before, after)]
    check(driver, "CAST", tensors[:1], tensors[1], options, fed=[values], version=1)


OPTIONS = {"ADD": "AddOptionsT", "SUB": "SubOptionsT", "MUL": "MulOptionsT", "DIV": "DivOptionsT"}


@examples(60)
@given(
    st.sampled_from(["ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "FLOOR_DIV", "SQUARED_DIFFERENCE"]),
    st.sampled_from(["float32", "int32"]), st.sampled_from(PAIRS), st.integers(0, 3), st.data(),
)  # fmt: skip
def test_arithmetic(driver, kind, dtype, pair, activation, data) -> None:
    options = getattr(schema, OPTIONS[kind])() if kind in OPTIONS else None
    if options is not None:
        options.fusedActivationFunction = activation if dtype == "float32" or kind != "DIV" else 0
    values = [noise(shape, dtype, 3 + place) for place, shape in enumerate(pair)]
    values = [np.asarray(np.where(value == 0, 1, value), dtype) for value in values]
    constant = data.draw(st.sampled_from([None, 0, 1]))
    tensors = [T(shape, dtype) for shape in pair]
    if constant is not None:
        tensors[constant].data = values[constant]
    fed = [value for place, value in enumerate(values) if place != constant]
    if data.draw(st.booleans()) and constant is None:
        tensors, fed = tensors[::-1], fed[::-1]
    check(driver, kind, tensors, T(np.broadcast_shapes(*pair), dtype), options, fed=fed, version=1)


def test_int32_wraps_and_floors(driver) -> None:
    a = np.array([[2**31 - 1, -(2**31), 7, -7, 7, -7, 6, -6]], np.int32)
    b = np.array([[1, 2, 2, 2, -2, -2, -3, 3]], np.int32)
    tensors = [T(a.shape, "int32"), T(a.shape, "int32")]
    for kind in ("ADD", "SUB", "MUL", "DIV", "FLOOR_DIV"):
        options = getattr(schema, OPTIONS[kind])() if kind in OPTIONS else None
        check(driver, kind, tensors, T(a.shape, "int32"), options, fed=[a, b], version=1)


def test_square_roots_are_the_nearest(driver) -> None:
    random = np.random.default_rng(0)
    bits = random.integers(0, 0x7F800000, 20000).astype(np.uint32)
    special = np.array([0, 0x80000000, 1, 2, 0x7FFFFF, 0x800000, 0x7F7FFFFF, 0x7F800000, 0x3F800000], np.uint32)
    squares = np.arange(1, 2000, dtype=np.float32) ** 2
    values = np.concatenate([bits.view(np.float32), special.view(np.float32), squares])[None]
    tensor = T(values.shape, "float32")
    check(driver, "SQRT", [tensor], tensor, fed=[values], version=1)


@pytest.mark.parametrize("kind", ["RSQRT", "ABS", "NEG", "SQUARE", "RELU", "RELU6", "RELU_N1_TO_1", "FLOOR"])
def test_unary(driver, kind) -> None:
    values = np.concatenate([noise((1, 500), "float32", 1), [[0.0, -0.0, 1e9, -1e9, 8388609.0, -8388607.5, 0.5]]], 1)
    values = values.astype(np.float32)
    if kind == "RSQRT":
        values = np.abs(values) + np.float32(1e-3)
    tensor = T(values.shape, "float32")
    check(driver, kind, [tensor], tensor, fed=[values], version=1)


def test_quantize_halves_to_even_for_onnx() -> None:
    values = np.array([[0.5, 1.5, 2.5, -0.5, -1.5, 1e30, -1e30, 200.0]], np.float32)
    with Driver(("kernels_float",), "#define NETWORK_ROUNDING_FLOAT 1\n") as driver:
        calls = onnx_calls("QUANTIZE", [Tensor("x", values.shape, "float32")], quantized(values.shape, 1.0, 10))
        expected = np.array([[10, 12, 12, 10, 8, 127, -128, 127]], np.int8)
        compare(driver, calls, {0: values.tobytes(), 1: bytes(8)}, {1: expected})
