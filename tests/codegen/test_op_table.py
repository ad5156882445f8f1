"""Operators of one 8-bit operand: tables that equal LiteRT's reference kernels, and those of ONNX networks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from codegen.kernel_driver import Driver
from codegen.one_op import T
from codegen.op_check import check, compare, examples, noise, onnx_calls, quantized, scales, stored, zero_points
from codegen.run_c import needs_cc
from hypothesis import given
from hypothesis import strategies as st

from stm32pose.codegen.lower.table import quantized as to_steps
from stm32pose.codegen.network import NotExportable

pytestmark = needs_cc
EVERY = np.arange(256, dtype=np.uint8).view(np.int8).reshape(1, 4, 8, 8)
PLAIN = ("RELU", "RELU6", "RELU_N1_TO_1", "HARD_SWISH", "ABS")


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver(("kernels_table", "kernels_float")) as made:
        yield made


@examples(20)
@given(st.sampled_from(PLAIN), scales, scales, zero_points, zero_points)
def test_functions(driver, kind, scale0, scale, zero0, zero) -> None:
    if kind == "ABS":
        zero = zero0
    check(
        driver,
        kind,
        [T(EVERY.shape, "int8", scale0, zero0)],
        T(EVERY.shape, "int8", scale, zero),
        fed=[EVERY],
        version=1,
    )


@pytest.mark.parametrize(
    ("kind", "scale", "zero"),
    [("LOGISTIC", 1 / 256, -128), ("TANH", 1 / 128, 0), ("EXP", 0.05, -128)],
)
def test_curves(driver, kind, scale, zero) -> None:
    for scale0, zero0 in ((0.1, 0), (0.02, -128), (0.3, 40)):
        check(
            driver,
            kind,
            [T(EVERY.shape, "int8", scale0, zero0)],
            T(EVERY.shape, "int8", scale, zero),
            fed=[EVERY],
            version=1,
        )


@pytest.mark.parametrize("kind", ["SQRT", "RSQRT"])
def test_roots(driver, kind) -> None:
    """What lies below zero, where LiteRT stops, counts as zero."""
    values = np.maximum(EVERY, -20)
    for zero0 in (-20, -128):
        given, made = T(EVERY.shape, "int8", 0.1, zero0), T(EVERY.shape, "int8", 0.05, -128)
        check(driver, kind, [given], made, fed=[values], version=1)


def test_leaky_relu(driver) -> None:
    for alpha in (0.1, 0.0, -0.5, 1.5):
        options = schema.LeakyReluOptionsT()
        options.alpha = alpha
        check(
            driver,
            "LEAKY_RELU",
            [T(EVERY.shape, "int8", 0.1, 5)],
            T(EVERY.shape, "int8", 0.07, -9),
            options,
            fed=[EVERY],
        )


@examples(12)
@given(st.sampled_from(["int8", "uint8"]), st.sampled_from(["int8", "uint8"]), scales, scales, st.booleans())
def test_quantize(driver, before, after, scale0, scale, same) -> None:
    zero0, zero = (3 if before == "int8" else 131), (3 if after == "int8" else 131)
    tensor = T((1, 3, 5, 7), before, scale0, zero0)
    calls = check(driver, "QUANTIZE", [tensor], T((1, 3, 5, 7), after, scale0 if same else scale, zero))
    if same and before != after:
        assert calls[0].function.startswith("flip")


def test_flips_long_tensors(driver) -> None:
    for size in (16, 31, 160):
        check(driver, "QUANTIZE", [T((1, size), "uint8", 1.0, 128)], T((1, size), "int8", 1.0, 0))


def test_a_kind_litert_has_no_kernel_for_is_refused(driver) -> None:
    from pathlib import Path

    from codegen.op_check import calls_of

    from stm32pose.codegen.network import Network, Operator

    tensors = (quantized((1, 4), 0.1, 0), quantized((1, 4), 0.1, 0))
    network = Network(Path("x.tflite"), "tflite", tensors, (Operator("SQUARE", "layer", (0,), (1,)),), (0,), (1,))
    with pytest.raises(NotExportable, match=r"x\.tflite: SQUARE.*layer"):
        calls_of(network)


def test_in_float(driver) -> None:
    given, output = quantized(EVERY.shape, 0.05, 3), quantized(EVERY.shape, 1 / 256, -128)
    x = ((EVERY.astype(np.int32) - 3).astype(np.float32) * np.float32(0.05)).astype(np.float64)
    for kind, options, values in (
        ("LOGISTIC", {}, 1 / (1 + np.exp(-x))),
        ("LEAKY_RELU", {"alpha": 0.1}, np.where(x < 0, 0.1 * x, x)),
        ("CLIP", {"minimum": -0.5, "maximum": 0.25}, np.clip(x, -0.5, 0.25)),
        ("QUANTIZE", {}, x),
    ):
        calls = onnx_calls(kind, [given], output, options)
        memory = {0: EVERY.tobytes(), 1: bytes(output.bytes)}
        compare(driver, calls, memory, {1: stored(values.astype(np.float32), output)})


def test_halves_go_to_even_in_float() -> None:
    output = quantized((1,), 2.0, 0)
    assert to_steps(np.array([1, 3, 5, -1, -3, 1e30]), output).tolist() == [0, 2, 2, 0, -2, 127]


def test_look_up(driver) -> None:
    values = noise((256,), "int8", 3)
    calls = onnx_calls("LOOK_UP", [quantized(EVERY.shape, 0.05, 3)], quantized(EVERY.shape, 0.1, 0), {"values": values})
    compare(driver, calls, {0: EVERY.tobytes(), 1: bytes(256)}, {1: values.reshape(EVERY.shape)})
