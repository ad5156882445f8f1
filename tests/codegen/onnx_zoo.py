"""One QDQ network with a branch for every operator of the ONNX front end, and every way of using it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from codegen.qdq import Qdq

SHAPE = (1, 8, 6, 10)
"""Of the input x; the second, y, has a quarter of its rows and columns, and as many channels."""
STEP = 0.0203
"""Of x."""
Branch = Callable[[Qdq, str, str], tuple[str, float, int]]


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def weighted(g: Qdq, x: str, y: str) -> list[tuple[str, float, int]]:
    """Convolutions and matrix products."""
    bias = g.constant(np.arange(-500, 700, 100, dtype=np.int32), STEP * 0.01, 0)
    per_tensor = g.weights((12, 8, 1, 1), None)
    flat = g.node("Flatten", [g.through(g.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2]), STEP, 3)])
    rows = g.through(g.node("Reshape", [x, g.array(ints(1, 8, 60))]), STEP, 3)
    found = [
        (g.node("Conv", [x, g.weights((4, 8, 3, 3))], pads=[1, 1, 1, 1]), 0.9, 5),
        (g.node("Conv", [x, g.weights((4, 8, 3, 2))], strides=[2, 1], pads=[0, 1, 2, 0], dilations=[1, 2]), 0.9, -5),
        (g.node("Relu", [g.node("Conv", [x, per_tensor, bias])]), 0.5, -128),
        (g.node("Clip", [g.node("Conv", [x, per_tensor]), g.array(np.float32(0)), g.array(np.float32(6))]), 0.06, -100),
        (g.node("Clip", [g.node("Conv", [x, per_tensor]), g.array(np.float32(-2)), g.array(np.float32(9))]), 0.1, 0),
        (g.node("Conv", [x, g.weights((8, 1, 3, 3))], group=8, auto_pad="SAME_UPPER", strides=[2, 2]), 0.3, 0),
        (g.node("Conv", [x, g.weights((16, 1, 3, 3))], group=8, auto_pad="SAME_LOWER", strides=[2, 2]), 0.3, 0),
        (g.node("Conv", [x, g.weights((6, 4, 1, 1))], group=2), 0.3, 0),
        (g.node("Conv", [x, g.weights((4, 8, 2, 2), None, "uint8", 120)]), 0.6, 0),
        (g.node("Conv", [x, g.weights((6, 4, 2, 2), 0, "uint8", 135)], group=2), 0.6, 0),
        (g.node("Conv", [x, g.weights((8, 1, 3, 3), None, "uint8", 111)], group=8), 0.4, 0),
        (g.node("Conv", [x, g.weights((4, 8, 2, 2), None, "uint8", 128)]), 0.6, 0),
        (g.node("ConvTranspose", [x, g.weights((8, 4, 4, 4), 1)], strides=[2, 2], pads=[1, 1, 1, 1]), 0.6, 0),
        (g.node("ConvTranspose", [x, g.weights((8, 4, 3, 2), None)], strides=[2, 3], output_padding=[1, 0]), 0.6, 0),
        (
            g.node("ConvTranspose", [x, g.weights((8, 1, 3, 3), None)], group=8, strides=[2, 2], pads=[1, 0, 0, 1]),
            0.6,
            0,
        ),
        (
            g.node("Gemm", [flat, g.weights((7, 120)), g.constant(np.arange(7, dtype=np.int32) * 99, 1e-4)], transB=1),
            0.7,
            1,
        ),
        (g.node("Gemm", [flat, g.weights((120, 7), None)]), 0.7, 1),
        (g.node("MatMul", [flat, g.weights((120, 7), 1)]), 0.7, 1),
        (g.node("MatMul", [flat, g.weights((120, 5), None, "uint8", 121)]), 0.7, 1),
        (g.node("MatMul", [rows, g.weights((60, 5), 1)]), 0.7, 1),
    ]
    return found


def pointwise(g: Qdq, x: str, y: str) -> list[tuple[str, float, int]]:
    """Functions of one tensor and arithmetic of two."""
    number, channel = g.array(np.float32(0.37)), g.array(np.linspace(-1, 1, 8, dtype=np.float32).reshape(8, 1, 1))
    stored = g.constant(np.arange(8, dtype=np.int8).reshape(1, 8, 1, 1) - 4, 0.1, 0)
    whole = g.constant(np.arange(480, dtype=np.int64).reshape(SHAPE).astype(np.uint8), 0.02, 100)
    small = g.through(g.node("GlobalAveragePool", [x]), 0.01, 0)
    six = g.node("HardSigmoid", [x], alpha=1 / 6, beta=0.5)
    mixed = g.node("Exp", [g.node("Mul", [x, channel])])
    found = [
        *(
            (g.node(kind, [x]), 0.021, -7)
            for kind in ("Relu", "Neg", "Abs", "Sigmoid", "Tanh", "HardSwish", "Softplus")
        ),
        *(
            (g.node(kind, [x]), 0.021, -7)
            for kind in ("Softsign", "Erf", "Floor", "Ceil", "Round", "Sign", "Elu", "Exp")
        ),
        (g.node("LeakyRelu", [x], alpha=0.2), 0.017, 0),
        (six, 1 / 255, -128),
        (g.node("Mul", [x, six]), 0.02, -120),
        (g.node("Mul", [x, g.node("Sigmoid", [x])]), 0.02, -120),
        (g.node("Clip", [x, "", g.array(np.float32(0.5))]), 0.02, 0),
        (g.node("Neg", [g.node("Relu", [x])]), 0.03, 30),
        (g.node("PRelu", [x, number]), 0.02, 0),
        (g.node("PRelu", [x, channel]), 0.02, 0),
        (g.node("Mul", [x, number]), 0.01, 0),
        (g.node("Sub", [number, x]), 0.03, 0),
        (g.node("Div", [x, number]), 0.06, 0),
        (g.node("Add", [x, channel]), 0.03, 0),
        (g.node("Add", [g.node("Mul", [x, channel]), stored]), 0.03, 2),
        (mixed, 0.05, -128),
        (g.node("Add", [x, g.through(g.node("Relu", [x]), 0.011, -128)]), 0.03, 4),
        (g.node("Relu", [g.node("Sub", [x, g.through(g.node("Tanh", [x]), 0.008, 0)])]), 0.02, -128),
        (g.node("Mul", [x, small]), 0.01, 4),
        (g.node("Div", [x, g.through(g.node("Sigmoid", [x]), 1 / 255, -128)]), 0.05, 4),
        (g.node("Add", [x, whole]), 0.04, 4),
        (g.node("Max", [x, g.through(g.node("Neg", [x]), 0.03, 1)]), 0.02, 1),
        (g.node("Min", [x, number]), 0.02, 1),
    ]
    return found


def moved(g: Qdq, x: str, y: str) -> list[tuple[str, float, int]]:
    """Other orders, windows and joins."""
    crd = g.node("DepthToSpace", [x], blocksize=2, mode="CRD")
    lines = g.through(g.node("Reshape", [x, g.array(ints(1, 8, -1))]), STEP, 3)
    one, two = "half_a", "half_b"
    g.nodes.append(onnx.helper.make_node("Split", [x, g.array(ints(3, 5))], [one, two], name="split", axis=1))
    back = g.node("Reshape", [g.through(g.node("Softmax", [lines], axis=-1), 0.0005, -128), g.array(ints(*SHAPE))])
    found = [
        (g.node("Transpose", [x], perm=[0, 2, 3, 1]), STEP, 3),
        (g.node("Transpose", [x], perm=[0, 3, 1, 2]), 0.025, 0),
        (g.node("Reshape", [x, g.array(ints(1, 4, 12, 10))]), STEP, 3),
        (g.node("Squeeze", [g.node("Unsqueeze", [x, g.array(ints(0))]), g.array(ints(0))]), STEP, 3),
        (g.node("Flatten", [x]), STEP, 3),
        (one, STEP, 3),
        (two, 0.03, 3),
        (g.node("Slice", [x, *map(g.array, (ints(1, -4), ints(7, 1000), ints(1, 3), ints(2, 1)))]), STEP, 3),
        (g.node("Gather", [x, g.array(ints(2, 1, 5))], axis=1), STEP, 3),
        (g.node("Gather", [x, g.array(np.int64(3))], axis=2), STEP, 3),
        (g.node("Concat", [x, g.through(g.node("Tanh", [x]), 0.008, 0), x], axis=1), 0.02, 0),
        (g.node("Concat", [x, x], axis=3), STEP, 3),
        (g.node("Pad", [x, g.array(ints(0, 0, 1, 2, 0, 0, 0, 1))]), STEP, 3),
        (g.node("Pad", [x, g.array(ints(0, 1, 0, 0, 0, 2, 0, 0)), g.array(np.float32(0.5))]), 0.03, -3),
        (g.node("Pad", [x, g.array(ints(0, 0, 1, 2, 0, 0, 2, 1))], mode="reflect"), STEP, 3),
        (g.node("MaxPool", [x], kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1]), STEP, 3),
        (g.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1), 0.03, 0),
        (g.node("GlobalMaxPool", [x]), STEP, 3),
        (g.node("ReduceMax", [x], axes=[1], keepdims=0), STEP, 3),
        (g.node("AveragePool", [x], kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1]), 0.01, 3),
        (g.node("AveragePool", [x], kernel_shape=[2, 2], pads=[1, 1, 0, 0], count_include_pad=1), 0.01, 3),
        (g.node("ReduceMean", [x], axes=[2, 3], keepdims=0), 0.005, 3),
        (g.node("ReduceMean", [x], axes=[1]), 0.01, 0),
        (g.node("ReduceSum", [x, g.array(ints(3))]), 0.1, 0),
        (g.node("Resize", [x, "", g.array(floats(1, 1, 2, 2))], mode="linear"), STEP, 3),
        (g.node("Resize", [x, "", "", g.array(ints(1, 8, 9, 7))], mode="linear"), 0.03, 0),
        (
            g.node(
                "Resize", [x, "", g.array(floats(1, 1, 2, 3))], mode="linear",
                coordinate_transformation_mode="asymmetric",
            ),
            STEP,
            3,
        ),
        (
            g.node(
                "Resize", [x, "", "", g.array(ints(1, 8, 11, 19))], mode="linear",
                coordinate_transformation_mode="align_corners",
            ),
            STEP,
            3,
        ),
        (g.node("Resize", [x, "", g.array(floats(1, 1, 2, 2))], mode="nearest"), STEP, 3),
        (
            g.node(
                "Resize", [x, "", "", g.array(ints(1, 8, 9, 7))], mode="nearest", nearest_mode="ceil",
                coordinate_transformation_mode="asymmetric",
            ),
            STEP,
            3,
        ),
        (g.node("Softmax", [x], axis=1), 0.004, -128),
        (back, 0.0005, -128),
        (g.node("DepthToSpace", [x], blocksize=2), STEP, 3),
        (crd, STEP, 3),
        (g.node("SpaceToDepth", [x], blocksize=2), STEP, 3),
    ]  # fmt: skip
    return found


def indices(g: Qdq, x: str, y: str) -> None:
    """Outputs that are no quantized numbers."""
    for name, value in (("ArgMax", 1), ("ArgMin", 3)):
        g.output(g.node(name, [x], axis=value, keepdims=value == 1), 0, dtype="int64")
    g.output(g.node("Softmax", [x], axis=3), 0, dtype="float32")
    g.output(g.node("Sigmoid", [x]), 0, dtype="float32")


GROUPS = {"weighted": weighted, "pointwise": pointwise, "moved": moved}


def zoo(path: Path, group: str, dtype: str = "int8") -> Path:
    """A network of one of GROUPS, its branches as int8 outputs in their order."""
    g = Qdq(seed=len(group))
    shift = 128 if dtype == "uint8" else 0
    x = g.input(SHAPE, STEP, 3 + shift, dtype)
    for real, scale, zero in GROUPS[group](g, x, ""):
        g.output(real, scale, zero + shift, dtype)
    if group == "moved":
        indices(g, x, "")
    return g.save(path)
