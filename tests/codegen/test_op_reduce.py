"""MEAN, SUM, REDUCE_MAX and REDUCE_MIN against LiteRT's reference kernels, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from codegen.kernel_driver import Driver
from codegen.one_op import T
from codegen.op_check import check, compare, examples, noise, onnx_calls, quantized, real, scales, stored, zero_points
from codegen.run_c import needs_cc
from hypothesis import given
from hypothesis import strategies as st

from stm32pose.codegen.lower.reduce import reduce_loops
from stm32pose.codegen.network import NotExportable

pytestmark = needs_cc


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver(("kernels_reduce",)) as made:
        yield made


def reduced(shape, axes, keep) -> tuple[int, ...]:
    if keep:
        return tuple(1 if i in axes else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def run(driver, kind, shape, axes, keep, before, after, fed=None):
    options = schema.ReducerOptionsT()
    options.keepDims = keep
    given = T(shape, "int8", *before)
    operand = T((len(axes),), "int32", data=np.array(axes, np.int32))
    made = T(reduced(shape, axes, keep), "int8", *after)
    return check(driver, kind, [given, operand], made, options, fed=fed)


some_shapes = st.sampled_from([(1, 4, 5, 7), (1, 7, 7, 20), (1, 1, 3, 4), (3, 8), (2, 3, 4, 5), (1, 2, 3, 4, 5), (9,)])


@examples(80)
@given(some_shapes, scales, scales, zero_points, zero_points, st.data())
def test_means(driver, shape, scale0, scale, zero0, zero, data) -> None:
    axes = sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))
    after = (scale0, zero0) if data.draw(st.booleans()) else (scale, zero)
    run(driver, "MEAN", shape, axes, data.draw(st.booleans()), (scale0, zero0), after)


def test_sums_have_nothing_to_be_equal_to(driver) -> None:
    with pytest.raises(NotExportable, match=r"SUM.*reference kernel"):
        run(driver, "SUM", (1, 4, 5, 7), (1, 2), False, (0.1, 3), (0.1, 3))


@examples(40)
@given(st.sampled_from(["REDUCE_MAX", "REDUCE_MIN"]), some_shapes, scales, zero_points, st.data())
def test_extremes(driver, kind, shape, scale, zero, data) -> None:
    axes = sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))
    run(driver, kind, shape, axes, data.draw(st.booleans()), (scale, zero), (scale, zero))


def test_large_means(driver) -> None:
    shape = (1, 48, 48, 9)
    for fed in (None, [np.full(shape, 127, np.int8)], [np.full(shape, -128, np.int8)]):
        for before, after in (((0.03, -128), (0.003, -128)), ((0.03, 127), (0.3, 5))):
            (call,) = run(driver, "MEAN", shape, (1, 2), False, before, after, fed)
            assert call.leads == (0,)


def test_loops() -> None:
    loops = reduce_loops((1, 4, 5, 7), (1, 2))
    assert loops["kept"] == (1, 1, 7)
    assert loops["reduced"] == (1, 1, 20)
    assert loops["reduced_steps"] == (0, 0, 7)
    with pytest.raises(ValueError, match="too many turns"):
        reduce_loops((2,) * 8, (0, 2, 4, 6))


@examples(20)
@given(st.sampled_from(["MEAN", "SUM"]), scales, zero_points)
def test_in_float(driver, kind, scale, zero) -> None:
    tensor, output = quantized((1, 5, 6, 7), 0.07, -5), quantized((1, 1, 1, 7), scale, zero)
    values = noise(tensor.shape, "int8", 2)
    calls = onnx_calls(kind, [tensor], output, {"axes": (1, 2), "keep_dims": True})
    x = real(values, tensor).astype(np.float64)
    result = x.mean(axis=(1, 2), keepdims=True) if kind == "MEAN" else x.sum(axis=(1, 2), keepdims=True)
    compare(driver, calls, {0: values.tobytes(), 1: bytes(7)}, {1: stored(result.astype(np.float32), output)})
