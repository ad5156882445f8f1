"""Operators of two int8 operands against LiteRT's reference kernels, with broadcasting, constants and activations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from codegen.kernel_driver import Driver
from codegen.one_op import T
from codegen.op_check import (
    calls_of,
    check,
    compare,
    examples,
    noise,
    onnx_calls,
    quantized,
    real,
    scales,
    stored,
    zero_points,
)
from codegen.run_c import needs_cc
from hypothesis import given
from hypothesis import strategies as st

from stm32pose.codegen.lower.elementwise import broadcast_loops
from stm32pose.codegen.network import Network, NotExportable, Operator

pytestmark = needs_cc
SHAPES = (
    ((1, 4, 5, 7), (1, 4, 5, 7)),
    ((1, 4, 5, 7), (7,)),
    ((1, 4, 5, 7), (1, 1, 1, 1)),
    ((1, 1, 1, 8), (1, 3, 3, 8)),
    ((1, 4, 5, 7), (1, 4, 5, 1)),
    ((4, 5, 1), (1, 6)),
    ((1, 4, 1, 7), (1, 1, 5, 7)),
    ((2, 1, 3, 1), (1, 5, 1, 4)),
    ((3,), (3,)),
    ((1,), (9,)),
)
shapes = st.sampled_from(SHAPES)
activations = st.sampled_from([0, 0, 0, 1, 2, 3])


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver(("kernels_elementwise", "kernels_table", "kernels_float")) as made:
        yield made


def together(shape0: tuple[int, ...], shape1: tuple[int, ...]) -> tuple[int, ...]:
    return np.broadcast_shapes(shape0, shape1)


def operands(data, pair, scale0, scale1, zero0, zero1) -> list[T]:
    if data.draw(st.booleans()):
        pair = pair[::-1]
    made = [T(pair[0], "int8", scale0, zero0), T(pair[1], "int8", scale1, zero1)]
    constant = data.draw(st.sampled_from([None, None, 0, 1]))
    if constant is not None:
        made[constant].data = noise(pair[constant], "int8", 7)
    return made


@examples(60)
@given(
    st.sampled_from(["ADD", "SUB"]), shapes, scales, scales, scales, zero_points, zero_points, zero_points, activations,
    st.data(),
)  # fmt: skip
def test_sums(driver, kind, pair, scale0, scale1, scale, zero0, zero1, zero, activation, data) -> None:
    options = getattr(schema, kind.capitalize() + "OptionsT")()
    options.fusedActivationFunction = activation
    made = operands(data, pair, scale0, scale1, zero0, zero1)
    check(driver, kind, made, T(together(*pair), "int8", scale, zero), options, seed=data.draw(st.integers(0, 9)))


@examples(40)
@given(shapes, scales, scales, st.floats(-9, 3), zero_points, zero_points, zero_points, activations, st.data())
def test_products(driver, pair, scale0, scale1, power, zero0, zero1, zero, activation, data) -> None:
    options = schema.MulOptionsT()
    options.fusedActivationFunction = activation
    made = operands(data, pair, scale0, scale1, zero0, zero1)
    output = T(together(*pair), "int8", float(np.float32(scale0 * scale1 * 2.0**-power)), zero)
    check(driver, "MUL", made, output, options, seed=data.draw(st.integers(0, 9)))


@examples(30)
@given(shapes, scales, scales, scales, zero_points, zero_points, zero_points, st.data())
def test_squared_differences(driver, pair, scale0, scale1, scale, zero0, zero1, zero, data) -> None:
    made = operands(data, pair, scale0, scale1, zero0, zero1)
    output = T(together(*pair), "int8", scale, zero)
    check(driver, "SQUARED_DIFFERENCE", made, output, schema.SquaredDifferenceOptionsT())


@examples(20)
@given(st.sampled_from(["MAXIMUM", "MINIMUM"]), shapes, scales, zero_points, st.data())
def test_extremes(driver, kind, pair, scale, zero, data) -> None:
    made = operands(data, pair, scale, scale, zero, zero)
    check(driver, kind, made, T(together(*pair), "int8", scale, zero), schema.MaximumMinimumOptionsT())


@examples(30)
@given(
    st.sampled_from([((1, 4, 5, 7), (7,)), ((1, 4, 5, 7), (1, 1, 7)), ((1, 4, 5, 7), (4, 5, 7)), ((1, 2, 3, 4), (1,))]),
    scales, scales, scales, zero_points, zero_points, zero_points,
)  # fmt: skip
def test_prelu(driver, pair, scale0, scale1, scale, zero0, zero1, zero) -> None:
    slopes = T(pair[1], "int8", scale1, zero1, data=noise(pair[1], "int8", 5))
    check(driver, "PRELU", [T(pair[0], "int8", scale0, zero0), slopes], T(pair[0], "int8", scale, zero), version=1)


def test_one_tensor_twice(driver) -> None:
    tensor = T((1, 3, 4, 5), "int8", 0.1, 3)
    calls = check(driver, "ADD", [tensor, tensor], T((1, 3, 4, 5), "int8", 0.3, 3), schema.AddOptionsT())
    assert [call.function for call in calls] == ["add_int8"]


def test_one_number_becomes_a_table(driver) -> None:
    number = T((1, 1, 1, 1), "int8", 0.02, -5, data=np.full((1, 1, 1, 1), 17, np.int8))
    for kind in ("ADD", "SUB", "MUL"):
        options = getattr(schema, kind.capitalize() + "OptionsT")()
        for order in (1, -1):
            inputs = [T((1, 3, 4, 5), "int8", 0.1, 3), number][::order]
            calls = check(driver, kind, inputs, T((1, 3, 4, 5), "int8", 0.3, -3), options)
            assert [call.function for call in calls] == ["table_int8_int8"]
            assert calls[0].leads == (0,)


def test_leads_are_in_place_for_what_is_not_broadcast(driver) -> None:
    small, large = T((1, 1, 1, 5), "int8", 0.1, 3), T((1, 3, 4, 5), "int8", 0.1, 3)
    (call,) = check(driver, "MUL", [small, large], T((1, 3, 4, 5), "int8", 0.3, -3), schema.MulOptionsT())
    assert call.leads == (None, 0)


def test_every_pair_of_values(driver) -> None:
    """All 65,536 sums and products, of operands whose scales are far apart."""
    every = np.arange(-128, 128).astype(np.int8)
    pairs = [np.repeat(every, 256).reshape(1, 256, 256, 1), np.tile(every, 256).reshape(1, 256, 256, 1)]
    for kind, scale in (("ADD", 0.02), ("SUB", 0.013), ("MUL", 0.0071)):
        tensors = [T((1, 256, 256, 1), "int8", 0.0173, 11), T((1, 256, 256, 1), "int8", 0.0031, -128)]
        options = getattr(schema, kind.capitalize() + "OptionsT")()
        check(driver, kind, tensors, T((1, 256, 256, 1), "int8", scale, -20), options, fed=pairs)


def calls_tflite(kind, tensors):
    network = Network(Path("x"), "tflite", tuple(tensors), (Operator(kind, "layer", (0, 1), (2,), {}),), (0, 1), (2,))
    return calls_of(network)


def test_scales_are_multiplied_in_float32(driver) -> None:
    """Scales where a multiplier computed in double would make some products another step."""
    every = np.arange(-128, 128).astype(np.int8)
    pairs = [np.repeat(every, 256).reshape(1, 256, 256, 1), np.tile(every, 256).reshape(1, 256, 256, 1)]
    for scale0, scale1, scale in (
        (0.06751837581396103, 0.07628817111253738, 0.3423987627029419),
        (0.048609793186187744, 0.02045057713985443, 0.08996030688285828),
    ):
        tensors = [T((1, 256, 256, 1), "int8", scale0, 0), T((1, 256, 256, 1), "int8", scale1, 0)]
        check(driver, "MUL", tensors, T((1, 256, 256, 1), "int8", scale, 0), schema.MulOptionsT(), fed=pairs)


def test_refused(driver) -> None:
    a = T((1, 3), "int8", 0.1, 3)
    for kind, other, output, problem in (
        ("MAXIMUM", T((1, 3), "int8", 0.2, 3), a, "different scales"),
        ("ADD", T((1, 3), "int8", 0.1, 3), T((1, 3), "int8", 1e-9, 3), "do not fit"),
    ):
        tensors = [quantized(t.shape, t.scale, t.zero) for t in (a, other, output)]
        with pytest.raises(NotExportable, match=problem):
            calls_tflite(kind, tensors)


def test_loops_join_what_runs_alike() -> None:
    loops = broadcast_loops((1, 4, 5, 7), (1, 4, 5, 7), (7,))
    assert (loops["length"], loops["count"]) == (7, (1, 1, 1, 20))
    assert (loops["steps0"], loops["steps1"]) == ((0, 0, 0, 7), (0, 0, 0, 0))
    assert broadcast_loops((2, 3, 4), (2, 3, 4), (2, 3, 4))["length"] == 24
    with pytest.raises(ValueError, match="that do not make"):
        broadcast_loops((2, 3), (2, 3), (2,))


OPERATIONS = {
    "ADD": np.add,
    "SUB": np.subtract,
    "MUL": np.multiply,
    "DIV": np.divide,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
    "SQUARED_DIFFERENCE": lambda a, b: (a - b) * (a - b),
    "PRELU": lambda a, b: np.where(a < 0, a * b, a),
}


@examples(30)
@given(st.sampled_from(sorted(OPERATIONS)), shapes, scales, scales, scales, zero_points, zero_points, st.data())
def test_in_float(driver, kind, pair, scale0, scale1, scale, zero0, zero, data) -> None:
    values = [noise(pair[0], "int8", 1), noise(pair[1], "int8", 2)]
    values[1][values[1] == 3] = 4  # nothing is divided by 0
    tensors = [quantized(pair[0], scale0, zero0), quantized(pair[1], scale1, 3)]
    constant = data.draw(st.sampled_from([None, 0, 1]))
    if constant is not None:
        tensors[constant] = quantized(
            pair[constant], [scale0, scale1][constant], [zero0, 3][constant], values[constant]
        )
    output = quantized(together(*pair), scale, zero)
    activation, low, high = data.draw(st.sampled_from([("NONE", -np.inf, np.inf), ("RELU", 0.0, np.inf)]))
    calls = onnx_calls(kind, tensors, output, {"activation": activation})
    with np.errstate(over="ignore"):
        result = OPERATIONS[kind](real(values[0], tensors[0]), real(values[1], tensors[1]))
    expected = stored(np.clip(result, max(low, -1e9), min(high, 1e9)).astype(np.float32), output)
    memory = {place: array.tobytes() for place, array in enumerate(values) if place != constant}
    compare(driver, calls, memory | {2: bytes(output.bytes)}, {2: expected})
