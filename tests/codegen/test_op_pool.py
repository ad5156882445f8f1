"""Pools against LiteRT's reference kernels, byte for byte, apart and overlapped."""

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

pytestmark = needs_cc


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver(("kernels_pool", "kernels_reduce")) as made:
        yield made


def pooling(kernel, stride, same: bool, activation: int) -> schema.Pool2DOptionsT:
    options = schema.Pool2DOptionsT()
    options.filterHeight, options.filterWidth = kernel
    options.strideH, options.strideW = stride
    options.padding = 0 if same else 1
    options.fusedActivationFunction = activation
    return options


pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


@examples(120)
@given(
    st.sampled_from(["MAX_POOL_2D", "AVERAGE_POOL_2D"]), st.integers(1, 9), st.integers(1, 9),
    st.sampled_from([1, 3, 4, 7, 8, 11, 17]), pairs, pairs, st.booleans(), st.sampled_from([0, 0, 1, 2, 3]),
    scales, zero_points, st.integers(0, 9),
)  # fmt: skip
def test_pools(driver, kind, height, width, channels, kernel, stride, same, activation, scale, zero, seed) -> None:
    if not same:
        kernel = (min(kernel[0], height), min(kernel[1], width))
    out = [
        -(-size // step) if same else (size - window) // step + 1
        for size, window, step in zip((height, width), kernel, stride, strict=True)
    ]
    given, made = T((1, height, width, channels), "int8", scale, zero), T((1, *out, channels), "int8", scale, zero)
    check(driver, kind, [given], made, pooling(kernel, stride, same, activation), seed=seed)


def test_a_window_of_more_than_256(driver) -> None:
    for values in (None, np.full((1, 20, 21, 5), 127, np.int8), np.full((1, 20, 21, 5), -128, np.int8)):
        given, made = T((1, 20, 21, 5), "int8", 0.1, 3), T((1, 1, 1, 5), "int8", 0.1, 3)
        fed = None if values is None else [values]
        check(driver, "AVERAGE_POOL_2D", [given], made, pooling((20, 21), (1, 1), False, 0), fed=fed)


def test_halving_in_place(driver) -> None:
    """2 x 2 to 1: only the first pixel's channels lie before what is still read."""
    given, made = T((1, 8, 8, 16), "int8", 0.1, 3), T((1, 4, 4, 16), "int8", 0.1, 3)
    (call,) = check(driver, "MAX_POOL_2D", [given], made, pooling((2, 2), (2, 2), False, 0))
    assert call.leads == (0,)


@examples(20)
@given(st.sampled_from(["MAX_POOL_2D", "AVERAGE_POOL_2D"]), pairs, st.booleans(), scales, zero_points, st.booleans())
def test_in_float(driver, kind, stride, pads_count, scale, zero, same) -> None:
    shape, kernel, pads = (1, 7, 6, 5), (3, 2), (1, 0, 1, 1)
    tensor = quantized(shape, 0.07, -5)
    out = tuple((shape[1 + i] + pads[i] + pads[i + 2] - kernel[i]) // stride[i] + 1 for i in range(2))
    output = quantized((1, *out, 5), 0.07, -5) if same else quantized((1, *out, 5), scale, zero)
    values = noise(shape, "int8", 4)
    options = {"kernel": kernel, "stride": stride, "pads": pads, "activation": "NONE", "count_include_pad": pads_count}
    calls = onnx_calls(kind, [tensor], output, options)
    x = np.pad(real(values, tensor), ((0, 0), (1, 1), (0, 1), (0, 0)), constant_values=np.nan)
    expected = np.zeros(output.shape, np.float32)
    for i in range(out[0]):
        for j in range(out[1]):
            window = x[:, i * stride[0] : i * stride[0] + 3, j * stride[1] : j * stride[1] + 2]
            if kind == "MAX_POOL_2D":
                expected[:, i, j] = np.nanmax(window, axis=(1, 2))
            else:
                count = 6 if pads_count else np.sum(~np.isnan(window[0, :, :, 0]))
                expected[:, i, j] = np.nansum(window.astype(np.float64), axis=(1, 2)) / count
    memory = {0: values.tobytes(), 1: bytes(output.bytes)}
    if kind == "MAX_POOL_2D":
        compare(driver, calls, memory, {1: stored(expected, output)})
    else:
        from codegen.kernel_driver import run_calls

        found = np.frombuffer(run_calls(driver, calls, memory)[1], np.int8).reshape(output.shape)
        assert np.abs(found.astype(int) - stored(expected, output)).max() <= 1
        assert np.mean(found != stored(expected, output)) < 0.1
