"""How many operands an operator has, and the shape that it makes of them.

A file whose own shapes differ would make code that reads and writes elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stm32pose.codegen.network import Network, Operator, refuse

Shape = tuple[int, ...]


def check_shapes(network: Network, op: Operator) -> None:
    """NotExportable unless the first output has the shape that the operator makes. Leading ones do not matter."""
    rule = RULES.get(op.kind)
    if rule is None or not op.outputs:
        return
    found = network.tensors[op.outputs[0]].shape
    try:
        expected = rule(op, network)
    except (ValueError, IndexError, KeyError) as error:
        raise refuse(network, op, f"operands {_shapes(op, network)} that do not fit together") from error
    if _trimmed(found) != _trimmed(expected):
        raise refuse(network, op, f"shape {list(found)}; of operands {_shapes(op, network)} it makes {list(expected)}")


def check_operands(network: Network, op: Operator) -> None:
    """NotExportable unless there are as many operands and results as the operator has; only a bias may be left out."""
    least, most = OPERANDS.get(op.kind, (1, MANY))
    if not least <= len(op.inputs) <= most:
        raise refuse(network, op, f"it has {len(op.inputs)} operands; it needs {least}")
    needed = op.inputs[:2] if op.kind in BIASED else op.inputs
    if any(index < 0 for index in needed):
        raise refuse(network, op, "an operand is left out")
    if len(op.outputs) != 1 and op.kind not in SEVERAL:
        raise refuse(network, op, f"it makes {len(op.outputs)} tensors; it should make one")


def _shapes(op: Operator, network: Network) -> str:
    return ", ".join(str(list(network.tensors[index].shape)) for index in op.inputs if index >= 0)


def _trimmed(shape: Shape) -> Shape:
    """Without leading ones."""
    first = next((place for place, size in enumerate(shape) if size != 1), len(shape))
    return shape[first:]


def _same(op: Operator, network: Network) -> Shape:
    return network.tensors[op.inputs[0]].shape


def _broadcast(op: Operator, network: Network) -> Shape:
    return np.broadcast_shapes(*(network.tensors[index].shape for index in op.inputs if index >= 0))


def _window(op: Operator, network: Network) -> Shape:
    """Convolutions and pools, their padding in numbers."""
    batch, *size, channels = network.tensors[op.inputs[0]].shape
    kernel, stride, pads = (op.options[name] for name in ("kernel", "stride", "pads"))
    dilation = op.options.get("dilation", (1, 1))
    made = []
    for axis in range(2):
        room = size[axis] + pads[axis] + pads[2 + axis] - ((kernel[axis] - 1) * dilation[axis] + 1)
        if room < 0:
            raise ValueError("the window is larger than the image")
        made.append(room // stride[axis] + 1)
    if op.kind == "CONV_2D":
        channels = network.tensors[op.inputs[1]].shape[0]
    elif op.kind == "DEPTHWISE_CONV_2D":
        channels = network.tensors[op.inputs[1]].shape[3]
    return batch, *made, channels


def _reduced(op: Operator, network: Network) -> Shape:
    shape, axes = network.tensors[op.inputs[0]].shape, op.options["axes"]
    if op.options.get("keep_dims"):
        return tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


def _resized(op: Operator, network: Network) -> Shape:
    batch, _, _, channels = network.tensors[op.inputs[0]].shape
    _, rows, columns, _ = network.tensors[op.outputs[0]].shape
    return batch, rows, columns, channels


def _as_many(op: Operator, network: Network) -> Shape:
    given, made = (network.tensors[index] for index in (op.inputs[0], op.outputs[0]))
    return made.shape if made.elements == given.elements else given.shape


def _transposed(op: Operator, network: Network) -> Shape:
    shape = network.tensors[op.inputs[0]].shape
    return tuple(shape[axis] for axis in op.options["perm"])


def _joined(op: Operator, network: Network) -> Shape:
    """CONCATENATION and PACK."""
    shapes = [network.tensors[index].shape for index in op.inputs]
    axis = op.options["axis"]
    if op.kind == "PACK":
        shapes = [(*shape[:axis], 1, *shape[axis:]) for shape in shapes]
    if len({(len(shape), shape[:axis], shape[axis + 1 :]) for shape in shapes}) != 1:
        raise ValueError("shapes differ")
    return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


def _repeated(op: Operator, network: Network) -> Shape:
    """TILE and BROADCAST_TO; the times are no operand any more."""
    given, made = (network.tensors[index].shape for index in (op.inputs[0], op.outputs[0]))
    padded = (1,) * (len(made) - len(given)) + given
    if len(padded) != len(made) or (op.kind == "TILE" and len(given) != len(made)):
        raise ValueError("dimensions differ")
    if any(
        whole % part or (op.kind != "TILE" and part not in (1, whole)) for whole, part in zip(made, padded, strict=True)
    ):
        return given
    return made


SAME = (
    "LOGISTIC", "TANH", "RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "HARD_SWISH", "HARD_SIGMOID", "ELU", "GELU",
    "SOFTPLUS", "ABS", "NEG", "SQRT", "RSQRT", "EXP", "LOG", "SQUARE", "CLIP", "FLOOR", "QUANTIZE", "DEQUANTIZE",
    "CAST", "SOFTMAX", "LOOK_UP",
)  # fmt: skip
BROADCAST = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "FLOOR_DIV", "PRELU")
WINDOW = ("CONV_2D", "DEPTHWISE_CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D")
REDUCED = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")
BIASED = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
SEVERAL = ("SPLIT", "SPLIT_V", "UNPACK")
MANY = 256
OPERANDS: dict[str, tuple[int, int]] = {
    **dict.fromkeys((*SAME, *REDUCED, "MAX_POOL_2D", "AVERAGE_POOL_2D"), (1, 1)),
    **dict.fromkeys((*BROADCAST, "GATHER", "GATHER_ND"), (2, 2)),
    **dict.fromkeys(BIASED, (2, 3)),
    **dict.fromkeys(
        ("ARG_MAX", "ARG_MIN", "PAD", "PADV2", "MIRROR_PAD", "TRANSPOSE", "SLICE", "STRIDED_SLICE"), (1, 1)
    ),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TILE", "BROADCAST_TO", *SEVERAL), (1, 1)),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE"), (1, 1)),
}
"""Kind -> fewest and most operands, those that became options not counted."""
RULES: dict[str, Callable[[Operator, Network], Shape]] = {
    **dict.fromkeys(SAME, _same),
    **dict.fromkeys(BROADCAST, _broadcast),
    **dict.fromkeys(WINDOW, _window),
    **dict.fromkeys(REDUCED, _reduced),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE"), _as_many),
    "TRANSPOSE": _transposed,
    "CONCATENATION": _joined,
    "PACK": _joined,
    "TILE": _repeated,
    "BROADCAST_TO": _repeated,
    "RESIZE_BILINEAR": _resized,
    "RESIZE_NEAREST_NEIGHBOR": _resized,
}
