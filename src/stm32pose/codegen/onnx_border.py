"""Opening an .onnx file for the code generator: what it is, how old, and where its images have their channels."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from stm32pose.codegen.network import NotExportable
from stm32pose.codegen.onnx_expand import expand
from stm32pose.errors import UserError, first_line

LOWEST_OPSET = 13
"""QuantizeLinear with a scale a channel begins here, and Softmax means what it does today."""
INTEGER = ("QuantizeLinear", "DequantizeLinear")
LOOKED_THROUGH = (*INTEGER, "Identity", "Cast", "Mul", "Add", "Sub", "Div")
IMAGES = (
    "Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Resize",
    "BatchNormalization", "DepthToSpace", "SpaceToDepth",
)  # fmt: skip


def open_model(path: Path) -> Any:
    """The `ModelProto` of an int8 file, its integer operators written as QDQ.

    Raises:
        UserError: ONNX is not installed, or no ONNX file, or a damaged one.
        NotExportable: a float network, an operator set before 13, or not a neural network.
    """
    from stm32pose.inference.onnx_graph import opset_of, read_onnx_model

    model = read_onnx_model(path)
    import onnx

    try:
        names = [node.op_type for node in model.graph.node]
        expand(model)
        kinds = {node.op_type for node in model.graph.node}
    except (ValueError, TypeError, IndexError, KeyError, onnx.checker.ValidationError) as error:
        raise UserError(f"{path}: not an ONNX file that can be read: {first_line(error)}") from error
    if not kinds & set(INTEGER):
        seen = ", ".join(dict.fromkeys(names[:3]))
        raise NotExportable(f"{path}: not an int8 network ({seen}, nothing is quantized); quantize it first")
    if opset_of(model) < LOWEST_OPSET:
        raise NotExportable(f"{path}: operator set {opset_of(model)}; C code is made of {LOWEST_OPSET} and later")
    return model


def channels_first(model: Any) -> bool:
    """Whether the images of a file are [N, C, H, W]: what its first input of four dimensions goes into tells."""
    from stm32pose.inference.onnx_runner import layout_of

    known = {item.name for item in model.graph.initializer}
    for value in model.graph.input:
        shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        if value.name in known or len(shape) != 4:
            continue
        names = {value.name}
        for node in model.graph.node:
            if not names & set(node.input):
                continue
            if node.op_type in LOOKED_THROUGH:
                names.update(node.output)
            elif node.op_type == "Transpose":
                perm = [list(item.ints) for item in node.attribute if item.name == "perm"]
                return perm != [[0, 3, 1, 2]]
            elif node.op_type in IMAGES:
                return True
        first: tuple[int, ...] = shape[1:]
        return prod(first) > 0 and layout_of(first) == "NCHW"
    return True
