"""What a network's file must hold before anything is made of it: damage is found here, in one line, not later."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stm32pose.codegen.network import Network, NotExportable, Operator, Tensor, printable, refuse
from stm32pose.codegen.shapes import check_operands, check_shapes
from stm32pose.errors import UserError

MOST_ELEMENTS = 1 << 24
"""A tensor of more elements is damage: no microcontroller holds it."""
MOST_TOTAL = 1 << 27
"""Elements of all tensors together, for the same reason; planning their memory takes time that grows with them."""
MOST_OPERATORS = 4096
MOST_TENSORS = 1 << 16
MOST_DIMENSIONS = 8
MOST_OPERANDS = 256
MOST_NAME = 1 << 16
"""Characters of a name. TFLite joins the names of fused layers, so that some are long."""
KNOWN_TYPES = ("int8", "uint8", "int16", "int32", "int64", "bool", "float32")
ZERO_POINTS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}
SCALES = (2.0**-80, 2.0**80)
"""Scales of 8-bit activations; outside, products of three of them leave float32."""


def check_order(network: Network) -> None:
    """Every tensor is made once, before it is read; inputs and constants by nobody.

    Raises:
        UserError: damaged.
    """
    tensors, path = network.tensors, network.path
    if not network.inputs or not network.outputs:
        raise damaged(path, "it has no input or no output")
    if len(set(network.inputs)) != len(network.inputs) or any(tensors[i].constant for i in network.inputs):
        raise damaged(path, "an input is a constant, or there twice")
    made = {index for index, tensor in enumerate(tensors) if tensor.constant or not tensor.elements}
    made.update(network.inputs)
    for op in network.operators:
        for index in op.inputs:
            if index >= 0 and index not in made:
                raise damaged(path, f"a {op.kind} reads tensor '{tensors[index].name}' before anything makes it")
        for index in op.outputs:
            if index in made:
                raise damaged(path, f"a {op.kind} makes tensor '{tensors[index].name}', which is there already")
            made.add(index)
    for index in network.outputs:
        if index not in made:
            raise damaged(path, f"nothing makes the output '{tensors[index].name}'")


def check_network(network: Network) -> None:
    """Order, and the tensors that operators compute with; for a network whose operands are settled.

    Raises:
        UserError: damaged; NotExportable: a type, a shape or a scale that no kernel takes.
    """
    check_order(network)
    total = sum(network.tensors[index].elements for op in network.operators for index in op.outputs)
    if total > MOST_TOTAL:
        raise damaged(network.path, f"its tensors would have {total} elements")
    for op in network.operators:
        check_operands(network, op)
        for index in (*op.outputs, *(index for index in op.inputs if index >= 0)):
            _check_tensor(network, op, network.tensors[index])
        check_shapes(network, op)
    for index in network.inputs:
        problem = _problem(network.tensors[index])
        if problem:
            raise NotExportable(f"{network.path}: input '{network.tensors[index].name}': {problem}")


def _check_tensor(network: Network, op: Operator, tensor: Tensor) -> None:
    problem = _problem(tensor)
    if problem:
        raise refuse(network, op, f"operand '{tensor.name.split(';')[0]}': {problem}")


def _problem(tensor: Tensor) -> str:
    """Why no kernel takes a tensor; empty if one may."""
    if tensor.dtype not in KNOWN_TYPES and not (tensor.constant and tensor.dtype == "float16"):
        return f"its type {tensor.dtype} is not known; known: {', '.join(KNOWN_TYPES)}"
    if min(tensor.shape, default=1) < 1:
        return f"its shape {list(tensor.shape)} has no elements"
    if tensor.dtype in ZERO_POINTS and tensor.quantized:
        low, high = ZERO_POINTS[tensor.dtype]
        if np.any(tensor.zero_points < low) or np.any(tensor.zero_points > high):
            return f"its zero point is outside {low}..{high}"
        if not tensor.constant and not SCALES[0] <= tensor.scale <= SCALES[1]:
            return f"its scale {tensor.scale:.3g} is outside 1e-24..1e24"
        if not tensor.constant and len(tensor.scales) > 1:
            return "it has several scales; only constants may"
    return ""


def check_shape(shape: Sequence[int], name: str, path: Path) -> None:
    """UserError unless a shape of whole numbers >= 0 is one that a microcontroller could hold."""
    elements = 1
    for size in shape:
        elements *= size
    if elements > MOST_ELEMENTS:
        raise damaged(path, f"tensor '{name[:80]}' would have {elements} elements")


def damaged(path: Path, problem: str) -> UserError:
    """The error for a file that contradicts itself."""
    return UserError(printable(f"{path}: damaged, or not a network that can be read ({problem})"))
