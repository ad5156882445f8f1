"""Portable convolutions and fully connected layers against LiteRT's reference kernels, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from codegen.dsp_layers import ACTIVATIONS
from codegen.kernel_driver import Driver
from codegen.one_op import T
from codegen.op_check import check, examples, zero_points
from codegen.run_c import needs_cc
from hypothesis import given
from hypothesis import strategies as st

pytestmark = needs_cc

sizes = st.integers(1, 9)
kernels = st.integers(1, 4)
activations = st.sampled_from(sorted(ACTIVATIONS))


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver(("kernels_conv", "kernels_depthwise", "kernels_fully_connected")) as made:
        yield made


def parts(
    weights: tuple[int, ...], axis: int, spread: float, per_channel: bool, seed: int, dead: bool
) -> tuple[T, T, float]:
    """(weights, bias, scale of the output) whose results use about all of int8; `dead`: a bias near 2^30."""
    random = np.random.default_rng(seed)
    count = weights[axis]
    scales = random.uniform(0.002, 0.02, count if per_channel else 1).astype(np.float32)
    bias = random.integers(-int(spread), int(spread) + 1, count).astype(np.int32)
    if dead:
        bias[-1] = random.choice([2**30, -(2**30), 2**30 + 77])
    data = random.integers(-127, 128, weights).astype(np.int8)
    out = float(np.float32(spread * 0.05 * float(scales.mean()) / 60))
    return (
        T(weights, scale=scales, axis=axis, data=data),
        T((count,), "int32", scale=scales * np.float32(0.05), data=bias),
        out,
    )


@examples(60)
@given(
    size=st.tuples(sizes, sizes),
    channels=st.sampled_from([1, 2, 3, 8, 13]),
    made=st.sampled_from([1, 4, 6, 9]),
    groups=st.sampled_from([1, 1, 1, 2]),
    kernel=st.tuples(kernels, kernels),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.sampled_from([1, 1, 2]),
    same=st.booleans(),
    per_channel=st.booleans(),
    dead=st.booleans(),
    activation=activations,
    zeros=st.tuples(zero_points, zero_points),
)
def test_conv(
    driver, size, channels, made, groups, kernel, stride, dilation, same, per_channel, dead, activation, zeros
):
    channels, made = channels * groups, made * groups
    if dilation > 1:
        stride = (1, 1)
    reach = [(k - 1) * dilation + 1 for k in kernel]
    size = tuple(max(n, r) for n, r in zip(size, reach, strict=True))
    out = [-(-n // s) if same else (n - r) // s + 1 for n, s, r in zip(size, stride, reach, strict=True)]
    window = channels // groups * kernel[0] * kernel[1]
    weights, bias, scale = parts((made, *kernel, channels // groups), 0, 5300 * window**0.5, per_channel, made, dead)
    options = schema.Conv2DOptionsT()
    options.padding, (options.strideH, options.strideW) = 0 if same else 1, stride
    options.dilationHFactor = options.dilationWFactor = dilation
    options.fusedActivationFunction = ACTIVATIONS[activation]
    given_, output = T((1, *size, channels), scale=0.05, zero=zeros[0]), T((1, *out, made), scale=scale, zero=zeros[1])
    check(driver, "CONV_2D", [given_, weights, bias], output, options, version=5)


@examples(60)
@given(
    size=st.tuples(sizes, sizes),
    channels=st.sampled_from([1, 3, 8, 31, 33, 70]),
    multiplier=st.sampled_from([1, 1, 2, 3]),
    kernel=st.tuples(kernels, kernels),
    stride=st.integers(1, 2),
    dilation=st.sampled_from([1, 1, 2]),
    same=st.booleans(),
    per_channel=st.booleans(),
    dead=st.booleans(),
    activation=activations,
    zeros=st.tuples(zero_points, zero_points),
)
def test_depthwise(
    driver, size, channels, multiplier, kernel, stride, dilation, same, per_channel, dead, activation, zeros
):
    stride = 1 if dilation > 1 else stride
    reach = [(k - 1) * dilation + 1 for k in kernel]
    size = tuple(max(n, r) for n, r in zip(size, reach, strict=True))
    out = [-(-n // stride) if same else (n - r) // stride + 1 for n, r in zip(size, reach, strict=True)]
    made = channels * multiplier
    spread = 5300 * (kernel[0] * kernel[1]) ** 0.5
    weights, bias, scale = parts((1, *kernel, made), 3, spread, per_channel, channels, dead)
    options = schema.DepthwiseConv2DOptionsT()
    options.padding, options.strideH, options.strideW = 0 if same else 1, stride, stride
    options.dilationHFactor = options.dilationWFactor = dilation
    options.depthMultiplier, options.fusedActivationFunction = multiplier, ACTIVATIONS[activation]
    given_, output = T((1, *size, channels), scale=0.05, zero=zeros[0]), T((1, *out, made), scale=scale, zero=zeros[1])
    check(driver, "DEPTHWISE_CONV_2D", [given_, weights, bias], output, options, version=6)


@examples(40)
@given(
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    channels=st.sampled_from([1, 3, 8]),
    made=st.sampled_from([1, 4, 7]),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    same=st.booleans(),
    per_channel=st.booleans(),
    zeros=st.tuples(zero_points, zero_points),
)
def test_transpose_conv(driver, size, channels, made, kernel, stride, same, per_channel, zeros):
    out = [n * s if same else (n - 1) * s + k for n, s, k in zip(size, stride, kernel, strict=True)]
    spread = 5300 * (channels * kernel[0] * kernel[1]) ** 0.5
    weights, bias, scale = parts((made, *kernel, channels), 0, spread, per_channel, made, False)
    options = schema.TransposeConvOptionsT()
    options.padding, (options.strideH, options.strideW) = 0 if same else 1, stride
    shape = T((4,), "int32", data=np.array([1, *out, made], np.int32))
    given_, output = T((1, *size, channels), scale=0.05, zero=zeros[0]), T((1, *out, made), scale=scale, zero=zeros[1])
    check(driver, "TRANSPOSE_CONV", [shape, weights, given_, bias], output, options, version=3)


@examples(60)
@given(
    rows=st.integers(1, 4),
    inputs=st.sampled_from([1, 3, 16, 65]),
    outputs=st.sampled_from([1, 2, 10, 33]),
    per_channel=st.booleans(),
    biased=st.booleans(),
    dead=st.booleans(),
    activation=activations,
    zeros=st.tuples(zero_points, zero_points),
)
def test_fully_connected(driver, rows, inputs, outputs, per_channel, biased, dead, activation, zeros):
    weights, bias, scale = parts((outputs, inputs), 0, 5300 * inputs**0.5, per_channel, inputs, dead)
    options = schema.FullyConnectedOptionsT()
    options.fusedActivationFunction = ACTIVATIONS[activation]
    given_, output = T((rows, inputs), scale=0.05, zero=zeros[0]), T((rows, outputs), scale=scale, zero=zeros[1])
    operands = [given_, weights, bias] if biased else [given_, weights]
    check(driver, "FULLY_CONNECTED", operands, output, options, version=4)


def test_fully_connected_layers_round_once(driver):
    """Many sums: LiteRT rounds convolutions twice and fully connected layers once; about 1 sum in 1000 tells."""
    weights, bias, scale = parts((400, 64), 0, 5300 * 8.0, True, 5, False)
    for seed in range(5):
        given_, output = T((16, 64), scale=0.05, zero=3), T((16, 400), scale=scale, zero=-4)
        check(
            driver,
            "FULLY_CONNECTED",
            [given_, weights, bias],
            output,
            schema.FullyConnectedOptionsT(),
            version=4,
            seed=seed,
        )
