"""Arithmetic operators on emulated Cortex-M4 and M7, whose instructions the host's C stands in for: the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from codegen.mve_batch import Case, check_cases, needs_emulator
from codegen.one_op import Model, Op, T, build
from codegen.op_check import MARK, calls_of, noise

from stm32pose.codegen.read_tflite import parse_tflite
from stm32pose.codegen.reference import run_reference

pytestmark = needs_emulator
EVERY = np.arange(-128, 128).astype(np.int8)
PAIRS = [np.repeat(EVERY, 256).reshape(1, 64, 64, 16), np.tile(EVERY, 256).reshape(1, 64, 64, 16)]


def options(name: str, **members: Any) -> Any:
    made = getattr(schema, name)()
    for member, value in members.items():
        setattr(made, member, value)
    return made


def case(kind: str, inputs: list[T], output: T, given: Any = None, fed: Any = None, version: int = 2) -> Case:
    active = [place for place, item in enumerate(inputs) if item.data is None]
    values = fed or [noise(inputs[place].shape, inputs[place].dtype, 5 + place) for place in active]
    made = len(inputs)
    content = build(
        Model([*inputs, output, MARK], [Op(kind, list(range(made)), [made], given, version)], active, [made])
    )
    (expected,) = run_reference(content, values)
    (call,) = calls_of(parse_tflite(content, Path("one.tflite")))
    return Case(call, values, expected, f"{kind} {call.function} {[item.shape for item in inputs]}")


def tensor(shape: tuple[int, ...], scale: float = 0.1, zero: int = 3, data: np.ndarray | None = None) -> T:
    return T(shape, "int8", scale, zero, data=data)


def sums() -> list[Case]:
    made = []
    shape = PAIRS[0].shape
    for kind, name in (("ADD", "AddOptionsT"), ("SUB", "SubOptionsT"), ("MUL", "MulOptionsT")):
        for activation, scale in ((0, 0.02), (3, 0.013)):
            operands = [tensor(shape, 0.0173, 11), tensor(shape, 0.0031 if kind != "MUL" else 0.21, -128)]
            result = tensor(shape, scale, -20)
            made.append(case(kind, operands, result, options(name, fusedActivationFunction=activation), PAIRS))
    for channels in (1, 5, 8):
        shape = (1, 4, 5, channels)
        slopes = tensor((1, 1, channels), 0.02, 4, noise((1, 1, channels), "int8", 5))
        for scale in (0.1, 0.05, 0.3):
            made.append(case("PRELU", [tensor(shape), slopes], tensor(shape, scale), version=1))
    return made


def pools() -> list[Case]:
    made = []
    for kind in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
        for channels, kernel, stride in ((1, 2, 2), (7, 3, 1), (16, 2, 2), (27, 3, 2), (8, 5, 1)):
            out = -(-9 // stride)
            window = options(
                "Pool2DOptionsT", filterHeight=kernel, filterWidth=kernel, strideH=stride, strideW=stride, padding=0
            )
            made.append(case(kind, [tensor((1, 9, 9, channels))], tensor((1, out, out, channels)), window))
    for values in (None, np.full((1, 24, 24, 6), 127, np.int8), np.full((1, 24, 24, 6), -128, np.int8)):
        axes = T((2,), "int32", data=np.array([1, 2], np.int32))
        fed = None if values is None else [values]
        made.append(case("MEAN", [tensor((1, 24, 24, 6)), axes], tensor((1, 6)), options("ReducerOptionsT"), fed))
    return made


def others() -> list[Case]:
    made = []
    for channels in (1, 4, 11, 24):
        for height, width, rows, columns in ((6, 5, 12, 10), (1, 3, 2, 6), (5, 4, 7, 9)):
            size = T((2,), "int32", data=np.array([rows, columns], np.int32))
            result = tensor((1, rows, columns, channels))
            centers = options("ResizeBilinearOptionsT", halfPixelCenters=True)
            made.append(
                case("RESIZE_BILINEAR", [tensor((1, height, width, channels)), size], result, centers, version=3)
            )
    curve = T((1, 37), "int8", 1 / 256, -128)
    made.append(case("LOGISTIC", [tensor((1, 37))], curve, version=1))
    made.append(
        case("SOFTMAX", [tensor((3, 37))], T((3, 37), "int8", 1 / 256, -128), options("SoftmaxOptionsT", beta=1.0))
    )
    made.append(case("QUANTIZE", [T((1, 61), "uint8", 0.1, 131)], tensor((1, 61))))
    roots = T((1, 300), "float32")
    values = np.random.default_rng(1).integers(0, 0x7F800000, (1, 300)).astype(np.uint32).view(np.float32)
    made.append(case("SQRT", [roots], roots, fed=[values], version=1))
    made.append(case("QUANTIZE", [roots], tensor((1, 300)), fed=[noise((1, 300), "float32", 3)]))
    made.append(case("DEQUANTIZE", [tensor((1, 300))], roots))
    return made


@pytest.mark.parametrize("target", ["cortex-m4", "cortex-m7"])
@pytest.mark.parametrize("family", [sums, pools, others])
def test_equal_on(tmp_path: Path, target: str, family) -> None:
    cases = family()
    right = check_cases(cases, tmp_path, target=target)
    assert [one.title for one, fine in zip(cases, right, strict=True) if not fine] == []
