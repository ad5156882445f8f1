"""SOFTMAX against LiteRT's reference kernel, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from codegen.kernel_driver import Driver
from codegen.one_op import T
from codegen.op_check import calls_of, check, compare, examples, noise, quantized
from codegen.run_c import needs_cc
from hypothesis import assume, given
from hypothesis import strategies as st

from stm32pose.codegen.lower.softmax import exponential, exponentials
from stm32pose.codegen.network import Network, Operator

pytestmark = needs_cc


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver(("kernels_softmax",)) as made:
        yield made


def softmax(beta: float) -> schema.SoftmaxOptionsT:
    options = schema.SoftmaxOptionsT()
    options.beta = beta
    return options


@examples(60)
@given(
    st.sampled_from([(1, 2), (1, 10), (3, 101), (1, 4, 5, 3), (1, 1), (2, 1000), (1, 4095)]),
    st.floats(-9, 1).map(lambda power: float(np.float32(2.0**power))),
    st.sampled_from([1.0, 1.0, 0.5, 3.0]),
    st.integers(0, 100),
    st.sampled_from([1, 3, 20, 256]),
)
def test_softmax(driver, shape, scale, beta, seed, spread) -> None:
    values = noise(shape, "int8", seed) if spread == 256 else np.random.default_rng(seed).integers(0, spread, shape)
    weights = np.exp(beta * scale * (values - values.max(axis=-1, keepdims=True)))
    assume(weights.sum(axis=-1).max() < 500)  # LiteRT 2.3 ends the process from 512 on
    output = T(shape, "int8", 1 / 256, -128)
    check(driver, "SOFTMAX", [T(shape, "int8", scale, 5)], output, softmax(beta), fed=[values.astype(np.int8)])


def test_two_values_at_every_distance(driver) -> None:
    rows = np.stack([np.full(256, 127), 127 - np.arange(256)], axis=1).astype(np.int8)
    for scale in (0.001, 0.03, 0.125, 0.7):
        output = T((256, 2), "int8", 1 / 256, -128)
        check(driver, "SOFTMAX", [T((256, 2), "int8", scale, 0)], output, softmax(1.0), fed=[rows])


def test_a_row_of_many_equals_is_zero(driver) -> None:
    tensor, output = quantized((1, 2000), 0.1, 3), quantized((1, 2000), 1 / 256, -128)
    operator = Operator("SOFTMAX", "layer", (0,), (1,), {"beta": 1.0})
    calls = calls_of(Network(Path("x.tflite"), "tflite", (tensor, output), (operator,), (0,), (1,)))
    compare(driver, calls, {0: bytes(2000), 1: bytes(2000)}, {1: np.full((1, 2000), -128, np.int8)})


def test_exponentials_are_near() -> None:
    table = exponentials(1.0, 0.05)
    assert table[0] == 2**31 - 1
    np.testing.assert_allclose(table / 2**31, np.exp(-0.05 * np.arange(256)), atol=3e-7)
    assert exponential(-(1 << 26)) == pytest.approx(np.exp(-1) * 2**31, abs=1000)
