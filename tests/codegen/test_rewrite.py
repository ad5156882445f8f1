"""Networks that are made simpler before they become calls: still equal to LiteRT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from codegen.kernel_driver import Driver, run_calls
from codegen.one_op import Model, Op, T, build
from codegen.op_check import noise
from codegen.run_c import needs_cc

from stm32pose.codegen.lower import lower
from stm32pose.codegen.read_tflite import parse_tflite
from stm32pose.codegen.reference import run_reference
from stm32pose.codegen.targets import TARGETS

pytestmark = needs_cc


@pytest.fixture(scope="module")
def driver():
    with Driver(["kernels_pool", "kernels_reduce", "kernels_movement"]) as running:
        yield running


@pytest.mark.parametrize(
    ("pads", "kernel", "folded"),
    [((1, 1), 2, True), ((0, 2), 3, True), ((2, 1), 1, False), ((2, 0), 2, False)],
)
@pytest.mark.parametrize("stride", [1, 2])
def test_pad_before_a_maximum_pool(driver: Driver, pads, kernel, folded, stride) -> None:
    """A window that lies in the padding alone needs the PAD."""
    size = 4 + sum(pads)
    out = (size - kernel) // stride + 1
    options = schema.Pool2DOptionsT()
    options.filterHeight = options.filterWidth = kernel
    options.strideH = options.strideW = stride
    options.padding = schema.Padding.VALID
    tensors = [T((1, side, side, 3), "int8", 0.1, -128) for side in (4, size, out)]
    tensors.append(T((4, 2), "int32", data=np.array([(0, 0), pads, pads, (0, 0)], np.int32)))
    ops = [Op("PAD", [0, 3], [1], None, 2), Op("MAX_POOL_2D", [1], [2], options, 2)]
    content = build(Model(tensors, ops, [0], [2]))
    given = noise((1, 4, 4, 3), "int8", 0)
    program = lower(parse_tflite(content, Path("padded.tflite")), TARGETS["host"])
    assert [call.kind for call in program.calls] == ["MAX_POOL_2D"] if folded else ["PAD", "MAX_POOL_2D"]
    sizes = {index: bytes(tensor.bytes) for index, tensor in enumerate(program.network.tensors[:3])}
    after = run_calls(driver, program.calls, {**sizes, 0: given.tobytes()})
    assert after[2] == run_reference(content, [given])[0].tobytes()
