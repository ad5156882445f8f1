"""Sums, products, resizing, pools, means and tables for Helium: bytes equal to LiteRT's, nothing else touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from codegen.mve_batch import Case, check_cases, needs_emulator
from codegen.one_op import Model, Op, T, build
from codegen.op_check import MARK

from stm32pose.codegen.lower import LOWERINGS
from stm32pose.codegen.lower.mve_others import SUITS, for_mve
from stm32pose.codegen.read_tflite import parse_tflite
from stm32pose.codegen.reference import run_reference
from stm32pose.codegen.targets import target_of

pytestmark = needs_emulator


def case(kind: str, inputs: list[T], output: T, options: Any, random: np.random.Generator, version: int = 2) -> Case:
    """The call of one operator and what LiteRT makes of noise."""
    active = [place for place, tensor in enumerate(inputs) if tensor.data is None]
    made = len(inputs)
    op = Op(kind, list(range(made)), [made], options, version)
    content = build(Model([*inputs, output, MARK], [op], active, [made]))
    values = [random.integers(-128, 128, inputs[place].shape, np.int8) for place in active]
    network = parse_tflite(content, Path("one.tflite"))
    calls = LOWERINGS[kind](network.operators[0], network, target_of("cortex-m55"))
    assert len(calls) == 1
    call = for_mve(calls[0])
    order = [values[active.index(index)] for index in call.inputs]
    expected = run_reference(content, values)[0]
    return Case(call, order, expected, f"{call.function} {[tensor.shape for tensor in inputs]} to {output.shape}")


def activated(options: Any, random: np.random.Generator) -> Any:
    options.fusedActivationFunction = int(random.integers(0, 4))
    return options


def zero(random: np.random.Generator) -> int:
    return int(random.choice(np.array([-128, 127, 0, -5, 33])))


def two_operands(random: np.random.Generator) -> list[Case]:
    made = []
    for index in range(40):
        kind = ("ADD", "SUB", "MUL")[index % 3]
        options = {"ADD": schema.AddOptionsT, "SUB": schema.SubOptionsT, "MUL": schema.MulOptionsT}[kind]()
        shape = (1, 1 + index % 3, 1 + index % 5, int(random.integers(1, 41)))
        scales = [float(2.0 ** random.uniform(-6, 0)) for _ in range(2)]
        least = scales[0] * scales[1] if kind == "MUL" else max(scales)
        out = T(shape, scale=least * float(2.0 ** random.uniform(0.2, 4)), zero=zero(random))
        operands = [T(shape, scale=scale, zero=zero(random)) for scale in scales]
        made.append(case(kind, operands, out, activated(options, random), random))
    return made


def resized(random: np.random.Generator) -> list[Case]:
    made = []
    for index in range(36):
        shape = (1, int(random.integers(1, 6)), int(random.integers(1, 6)), int(random.integers(1, 36)))
        double = index % 2 == 0
        size = [2 * n if double else int(random.integers(1, 12)) for n in shape[1:3]]
        options = schema.ResizeBilinearOptionsT()
        options.halfPixelCenters = bool(double or random.random() < 0.5)
        options.alignCorners = bool(not options.halfPixelCenters and random.random() < 0.5)
        given = T(shape, scale=0.1, zero=3)
        sizes = T((2,), "int32", data=np.array(size, np.int32))
        out = T((1, *size, shape[3]), scale=0.1, zero=3)
        made.append(case("RESIZE_BILINEAR", [given, sizes], out, options, random, 3))
    return made


def pooled(random: np.random.Generator) -> list[Case]:
    made = []
    for _ in range(30):
        options = activated(schema.Pool2DOptionsT(), random)
        options.filterHeight, options.filterWidth = (int(n) for n in random.integers(1, 4, 2))
        options.strideH, options.strideW = (int(n) for n in random.integers(1, 4, 2))
        same = bool(random.random() < 0.5)
        options.padding = 0 if same else 1
        shape = (1, *(int(n) for n in random.integers(3, 9, 2)), int(random.integers(1, 41)))
        windows = zip(
            shape[1:3], (options.filterHeight, options.filterWidth), (options.strideH, options.strideW), strict=True
        )
        size = [-(-n // stride) if same else -(-(n - kernel + 1) // stride) for n, kernel, stride in windows]
        tensors = [T((1, *place, shape[3]), scale=0.05, zero=-10) for place in (shape[1:3], size)]
        made.append(case("MAX_POOL_2D", tensors[:1], tensors[1], options, random))
    return made


def averaged(random: np.random.Generator) -> list[Case]:
    made = []
    for index in range(24):
        shape = (1, *(int(n) for n in random.integers(1, 8, 2)), int(random.integers(1, 41)))
        axes = ((1, 2), (1,), (2,))[index % 3]
        options = schema.ReducerOptionsT()
        options.keepDims = bool(random.random() < 0.5)
        kept = [n for axis, n in enumerate(shape) if axis not in axes]
        full = [1 if axis in axes else n for axis, n in enumerate(shape)]
        out = T(tuple(full if options.keepDims else kept), scale=0.1 * float(2.0 ** random.uniform(-1, 1)), zero=5)
        axis = T((len(axes),), "int32", data=np.array(axes, np.int32))
        made.append(case("MEAN", [T(shape, scale=0.1, zero=zero(random)), axis], out, options, random))
    return made


def looked_up(random: np.random.Generator) -> list[Case]:
    shapes = [(1, 1, 1, 1), (1, 3, 5, 7), (1, 2, 8, 16), (1, 1, 3, 11)]
    return [
        case("LOGISTIC", [T(shape, scale=0.05, zero=4)], T(shape, scale=1 / 256, zero=-128), None, random, 2)
        for shape in shapes
    ]


def test_equal_to_litert_at_the_lead(tmp_path):
    random = np.random.default_rng(9)
    cases = two_operands(random) + resized(random) + pooled(random) + averaged(random) + looked_up(random)
    fast = [case for case in cases if case.call.function.endswith("_mve")]
    assert {case.call.function for case in fast} == {f"{name}_mve" for name in SUITS}
    assert len(fast) > 0.8 * len(cases)
    good = check_cases(fast, tmp_path / "network")
    assert [case.title for case, exact in zip(fast, good, strict=True) if not exact] == []
