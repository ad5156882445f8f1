"""Leads of the operators that move elements are as small as they can be, and large tensors go the ways of words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from codegen.kernel_driver import Driver, run_calls, run_overlapped
from codegen.run_c import needs_cc

from stm32pose.codegen.lower import LOWERINGS
from stm32pose.codegen.lower.copies import Copy, join_loops
from stm32pose.codegen.network import Network, NotExportable, Operator, Tensor
from stm32pose.codegen.program import Call
from stm32pose.codegen.targets import TARGETS

pytestmark = needs_cc


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    with Driver(("kernels_movement", "kernels_gather", "kernels_arg")) as made:
        yield made


def calls_of(
    kind: str, shapes: list[tuple[int, ...]], made: list[tuple[int, ...]], dtype: str = "int8", **options: object
) -> list[Call]:
    tensors = tuple(Tensor(f"t{place}", shape, dtype) for place, shape in enumerate([*shapes, *made]))
    given, outputs = tuple(range(len(shapes))), tuple(range(len(shapes), len(tensors)))
    operator = Operator(kind, "layer", given, outputs, options)
    network = Network(Path("x.tflite"), "tflite", tensors, (operator,), given, outputs)
    return LOWERINGS[kind](operator, network, TARGETS["host"])


@pytest.mark.parametrize(
    ("kind", "shape", "made", "options", "lead"),
    [
        ("RESHAPE", (2, 50), (100,), {}, 0),
        ("STRIDED_SLICE", (4, 50), (2, 40), {"begin": (1, 5), "strides": (1, 1), "sizes": (2, 40)}, 0),
        ("STRIDED_SLICE", (9,), (9,), {"begin": (8,), "strides": (-1,), "sizes": (9,)}, 8),
        ("PAD", (3, 20), (3, 20), {"paddings": ((0, 0), (0, 0)), "value": 0}, 0),
        ("PAD", (3, 20), (5, 20), {"paddings": ((1, 1), (0, 0)), "value": 0}, 20),
        ("PAD", (3, 20), (3, 24), {"paddings": ((0, 0), (1, 3)), "value": 0}, 9),
        ("PAD", (3, 20), (5, 24), {"paddings": ((1, 1), (1, 3)), "value": 0}, 33),
        ("TILE", (1, 20), (3, 20), {}, 40),
        ("MIRROR_PAD", (4, 20), (6, 20), {"paddings": ((1, 1), (0, 0)), "mode": "reflect"}, 60),
    ],
)
def test_the_lead_is_the_smallest(driver: Driver, kind, shape, made, options, lead) -> None:
    """With one byte less the output is wrong, unless the lead is 0: then the output may begin at the input."""
    (call,) = calls_of(kind, [shape], [made], **options)
    assert call.leads == (lead,)
    random = np.random.default_rng(0)
    memory = {0: random.bytes(int(np.prod(shape))), 1: bytes(int(np.prod(made)))}
    apart = run_calls(driver, [call], memory)[1]
    assert run_overlapped(driver, call, 0, memory) == apart
    if lead:
        assert run_overlapped(driver, call, 0, memory, further=1) != apart


def test_the_largest_operand_of_a_join_is_copied_first_and_may_overlap() -> None:
    calls = calls_of("CONCATENATION", [(10, 2), (10, 8), (10, 6)], [(10, 16)], axis=1)
    assert [call.inputs for call in calls] == [(1,), (2,), (0,)]
    # the last row of 8 begins at 9 * 16 + 2, and is read from 9 * 8
    assert [call.leads for call in calls] == [(9 * 16 + 2 - 9 * 8,), (None,), (None,)]


def test_loops_are_joined() -> None:
    rows = Copy((2, 3, 4), (12, 4, 1), (12, 4, 1))
    assert join_loops(rows, 1) == (24, [])
    columns = Copy((2, 3, 4, 5), (60, 20, 5, 1), (600, 200, 5, 1))
    assert join_loops(columns, 1) == (20, [(6, 20, 200)])
    backwards = Copy((5, 4), (-16, 4), (16, 4))
    assert join_loops(backwards, 4) == (16, [(5, -16, 16)])


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64"])
@pytest.mark.parametrize("kind", ["slice", "join", "transpose", "pad"])
def test_long_runs(driver: Driver, kind: str, dtype: str) -> None:
    """Runs of hundreds of bytes, odd ones among them, against numpy; overlapped too."""
    random = np.random.default_rng(3)
    data = random.integers(-100, 100, (7, 61, 5)).astype(dtype)
    other = random.integers(-100, 100, (7, 3, 5)).astype(dtype)
    if kind == "slice":
        expected = data[1:6, 3:60]
        calls = calls_of(
            "SLICE", [data.shape], [expected.shape], dtype, begin=(1, 3, 0), strides=(1, 1, 1), sizes=expected.shape
        )
    elif kind == "join":
        expected = np.concatenate([data, other], 1)
        calls = calls_of("CONCATENATION", [data.shape, other.shape], [expected.shape], dtype, axis=1)
    elif kind == "transpose":
        expected = data.transpose(1, 0, 2)
        calls = calls_of("TRANSPOSE", [data.shape], [expected.shape], dtype, perm=(1, 0, 2))
    else:
        expected = np.pad(data, ((1, 0), (2, 3), (0, 0)), constant_values=-5)
        calls = calls_of("PAD", [data.shape], [expected.shape], dtype, paddings=((1, 0), (2, 3), (0, 0)), value=-5)
    inputs = [data, other] if kind == "join" else [data]
    memory = {place: values.tobytes() for place, values in enumerate(inputs)}
    made = len(inputs)
    memory[made] = bytes(expected.nbytes)
    assert run_calls(driver, calls, memory)[made] == expected.tobytes()
    if kind != "join":
        assert run_overlapped(driver, calls[0], 0, memory) == expected.tobytes()


def test_indices_outside_the_data_are_moved_to_its_ends(driver: Driver) -> None:
    shapes: list[tuple[int, ...]] = [(4, 3), (5,)]
    tensors = (Tensor("data", (4, 3), "int8"), Tensor("picks", (5,), "int32"), Tensor("made", (5, 3), "int8"))
    operator = Operator("GATHER", "layer", (0, 1), (2,), {"axis": 0})
    network = Network(Path("x.tflite"), "tflite", tensors, (operator,), (0, 1), (2,))
    calls = LOWERINGS["GATHER"](operator, network, TARGETS["host"])
    data = np.arange(12, dtype=np.int8).reshape(shapes[0])
    picks = np.array([-1, 4, 2, 2**31 - 1, -(2**31)], np.int32)
    made = run_calls(driver, calls, {0: data.tobytes(), 1: picks.tobytes(), 2: bytes(15)})[2]
    assert made == data[[0, 3, 2, 3, 0]].tobytes()


@pytest.mark.parametrize(
    ("kind", "shapes", "made", "options"),
    [
        ("TRANSPOSE", [(2, 3)], [(2, 3)], {"perm": (1, 0)}),
        ("CONCATENATION", [(2, 3), (2, 4)], [(2, 8)], {"axis": 1}),
        ("CONCATENATION", [(2, 3), (3, 4)], [(2, 7)], {"axis": 1}),
        ("CONCATENATION", [(2, 3)], [(2, 3)], {"axis": 1, "activation": "RELU"}),
        ("SPLIT", [(2, 3)], [(2, 2), (2, 2)], {"axis": 1}),
        ("UNPACK", [(2, 3)], [(2,), (3,)], {"axis": 1}),
        ("STRIDED_SLICE", [(4,)], [(3,)], {"begin": (2,), "strides": (1,), "sizes": (3,)}),
        ("TILE", [(3,)], [(7,)], {}),
        ("BROADCAST_TO", [(3,)], [(6,)], {}),
        ("SPACE_TO_DEPTH", [(1, 3, 4, 1)], [(1, 1, 2, 6)], {"block": 2}),
        ("DEPTH_TO_SPACE", [(1, 2, 2, 6)], [(1, 4, 4, 2)], {"block": 2}),
        ("PAD", [(3,)], [(6,)], {"paddings": ((1, 1),), "value": 0}),
        ("PAD", [(3,)], [(5,)], {"paddings": ((1, 1),), "value": 300}),
        ("MIRROR_PAD", [(3,)], [(6,)], {"paddings": ((3, 0),), "mode": "reflect"}),
        ("GATHER", [(3,), (2,)], [(2,)], {"axis": 0}),
        ("ARG_MAX", [(3, 4)], [(3,)], {"axis": 1}),
    ],
)
def test_what_does_not_fit_together_is_refused(kind, shapes, made, options) -> None:
    with pytest.raises(NotExportable, match=f"^x.tflite: {kind} that makes tensor 't{len(shapes)}'"):
        calls_of(kind, shapes, made, **options)
