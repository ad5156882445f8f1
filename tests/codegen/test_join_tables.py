"""Joined tables give what the operators one after another give, for every stored value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from codegen.one_op import Model, Op, T, build
from hypothesis import given, settings
from hypothesis import strategies as st

from stm32pose.codegen.lower import lower
from stm32pose.codegen.lower.join_tables import join_tables
from stm32pose.codegen.network import Network
from stm32pose.codegen.read_tflite import parse_tflite
from stm32pose.codegen.reference import run_reference
from stm32pose.codegen.targets import TARGETS

SHAPE = (1, 1, 1, 256)
EVERY = np.arange(256, dtype=np.uint8).view(np.int8).reshape(SHAPE)
few = settings(max_examples=25, deadline=None, derandomize=True)
scales = st.floats(0.001, 0.2).map(lambda value: float(np.float32(value)))
zeros = st.integers(-128, 127)


def joined(model: Model) -> tuple[Network, np.ndarray]:
    content = build(model)
    return join_tables(parse_tflite(content, Path("x.tflite"))), run_reference(content, [EVERY])[0]


def mul() -> schema.MulOptionsT:
    return schema.MulOptionsT()


@few
@given(scale=scales, zero=zeros, out=scales, out_zero=zeros, swapped=st.booleans())
def test_silu_is_one_table(scale, zero, out, out_zero, swapped):
    x, s = T(SHAPE, scale=scale, zero=zero), T(SHAPE, scale=1 / 256, zero=-128)
    y = T(SHAPE, scale=out, zero=out_zero)
    ops = [Op("LOGISTIC", [0], [1], version=2), Op("MUL", [1, 0] if swapped else [0, 1], [2], mul(), 2)]
    network, expected = joined(Model([x, s, y], ops, [0], [2]))
    assert [op.kind for op in network.operators] == ["LOOK_UP"]
    np.testing.assert_array_equal(network.operators[0].options["values"], expected.reshape(-1))
    assert [call.source for call in lower(network, TARGETS["host"]).calls] == ["kernels_table"]


@few
@given(scale=scales, middle=scales, out=scales, zero=zeros)
def test_tables_after_tables_are_one(scale, middle, out, zero):
    tensors = [T(SHAPE, scale=scale, zero=zero), T(SHAPE, scale=middle, zero=3), T(SHAPE, scale=out, zero=-zero - 1)]
    ops = [Op("QUANTIZE", [0], [1], version=2), Op("TANH", [1], [2], version=2)]
    tensors[2] = T(SHAPE, scale=1 / 128, zero=0)
    network, expected = joined(Model(tensors, ops, [0], [2]))
    assert [op.kind for op in network.operators] == ["LOOK_UP"]
    np.testing.assert_array_equal(network.operators[0].options["values"], expected.reshape(-1))


def test_what_others_read_stays():
    tensors = [T(SHAPE, scale=0.05), T(SHAPE, scale=1 / 256, zero=-128), T(SHAPE, scale=0.05), T(SHAPE, scale=0.1)]
    ops = [
        Op("LOGISTIC", [0], [1], version=2),
        Op("MUL", [0, 1], [2], mul(), 2),
        Op("ADD", [2, 1], [3], schema.AddOptionsT(), 2),
    ]
    network, expected = joined(Model(tensors, ops, [0], [3]))
    # The sum of two tables of one tensor is a table of it, too, and nobody reads the others then.
    assert [op.kind for op in network.operators] == ["LOOK_UP"]
    np.testing.assert_array_equal(network.operators[0].options["values"], expected.reshape(-1))


def test_other_tensors_are_no_pair():
    tensors = [T(SHAPE, scale=0.05), T(SHAPE, scale=0.05), T(SHAPE, scale=1 / 256, zero=-128), T(SHAPE, scale=0.05)]
    ops = [Op("LOGISTIC", [0], [2], version=2), Op("MUL", [1, 2], [3], mul(), 2)]
    network = join_tables(parse_tflite(build(Model(tensors, ops, [0, 1], [3])), Path("x.tflite")))
    assert [op.kind for op in network.operators] == ["LOGISTIC", "MUL"]
