"""`Network` of an int8 .tflite file, read from the flatbuffer without an interpreter."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from stm32pose.codegen.check import (
    MOST_DIMENSIONS,
    MOST_NAME,
    MOST_OPERANDS,
    MOST_OPERATORS,
    MOST_TENSORS,
    check_network,
    check_order,
    check_shape,
)
from stm32pose.codegen.network import Network, NotExportable, Operator, Tensor, printable
from stm32pose.codegen.operands import settle
from stm32pose.codegen.tflite_options import read_options
from stm32pose.errors import UserError
from stm32pose.inference.tflite_file import DAMAGE, DTYPES, _kind, _names


def read_tflite_network(path: Path) -> Network:
    """The main subgraph of a file, constants with their values, operands that are shapes and axes as options.

    Raises:
        UserError: not a TFLite file, or damaged.
        NotExportable: nothing in it is int8, or a shape is open.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_tflite(content, path)


def parse_tflite(content: bytes, path: Path) -> Network:
    """As `read_tflite_network`, of the content of a file; `path` names it in errors."""
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != b"TFL3":
        raise UserError(f"{path}: not a TFLite file, or damaged (its identifier is missing)")
    try:
        model = schema.Model.GetRootAs(content, 0)
        subgraph: Any = model.Subgraphs(0)
        _check_counts(model, subgraph, path)
        buffers: dict[int, bytes] = {}
        kinds = [_known_kind(model.OperatorCodes(index)) for index in range(model.OperatorCodesLength())]
        tensors = [_tensor(model, subgraph.Tensors(i), buffers, path) for i in range(subgraph.TensorsLength())]
        operators = [_operator(subgraph.Operators(i), kinds, tensors, path) for i in range(subgraph.OperatorsLength())]
        inputs = tuple(int(subgraph.Inputs(i)) for i in range(subgraph.InputsLength()))
        outputs = tuple(int(subgraph.Outputs(i)) for i in range(subgraph.OutputsLength()))
    except DAMAGE as error:
        raise UserError(f"{path}: damaged TFLite file ({type(error).__name__}: {error})") from error
    if not all(0 <= index < len(tensors) for index in (*inputs, *outputs)):
        raise UserError(f"{path}: damaged TFLite file (an input or output is no tensor of it)")
    if not any(tensor.quantized and tensor.dtype in ("int8", "uint8") for tensor in tensors):
        raise NotExportable(f"{path}: not an int8 network: no tensor of it has a scale; quantize it first")
    network = Network(path, "tflite", tuple(tensors), tuple(operators), inputs, outputs)
    check_order(network)
    network = settle(network)
    check_network(network)
    return network


def _check_counts(model: Any, subgraph: Any, path: Path) -> None:
    """UserError for more of anything than a network has: reading it would take for ever."""
    counts = (
        ("tensors", subgraph.TensorsLength(), MOST_TENSORS),
        ("operators", subgraph.OperatorsLength(), MOST_OPERATORS),
        ("kinds of operators", model.OperatorCodesLength(), MOST_OPERATORS),
        ("inputs", subgraph.InputsLength(), MOST_OPERANDS),
        ("outputs", subgraph.OutputsLength(), MOST_OPERANDS),
    )
    for what, count, most in counts:
        if not 0 <= count <= most:
            raise UserError(f"{path}: damaged TFLite file ({count} {what}; at most {most} are read)")


def _tensor(model: Any, tensor: Any, buffers: dict[int, bytes], path: Path) -> Tensor:
    """A tensor; `buffers` keeps what several tensors share."""
    name = _name(tensor.Name() or b"")
    rank = tensor.ShapeLength()
    if rank > MOST_DIMENSIONS:
        raise UserError(f"{path}: damaged TFLite file (tensor '{name[:80]}' has {rank} dimensions)")
    shape = tuple(int(tensor.Shape(i)) for i in range(rank))
    if min(shape, default=0) < 0:
        raise NotExportable(f"{path}: tensor '{name}' has the open shape {list(shape)}; fix the input's shape")
    check_shape(shape, name, path)
    number = tensor.Type()
    dtype = DTYPES.get(_names("TensorType").get(number, ""), "")
    scales, zero_points, axis = _quantization(tensor.Quantization(), name, shape, path)
    data = None
    buffer = tensor.Buffer()
    if not 0 <= buffer < model.BuffersLength():
        raise UserError(f"{path}: damaged TFLite file (tensor '{name}' has no buffer)")
    length = model.Buffers(buffer).DataLength()
    if length and dtype:
        wanted = prod(shape) * np.dtype(dtype).itemsize
        if length != wanted:
            raise UserError(
                f"{path}: damaged TFLite file (tensor '{name}' of shape {list(shape)} and type {dtype} has {length} "
                f"bytes, not {wanted})"
            )
        if buffer not in buffers:
            buffers[buffer] = model.Buffers(buffer).DataAsNumpy().tobytes()
        data = np.frombuffer(buffers[buffer], dtype).reshape(shape)
    return Tensor(name, shape, dtype or f"type {number}", scales, zero_points, axis, data)


def _known_kind(code: Any) -> str:
    """TFLite's name of a builtin operator; a custom one can not take the name of one of ours."""
    custom = max(code.BuiltinCode(), code.DeprecatedBuiltinCode()) == 32
    return f"custom operator {_name(code.CustomCode() or b'')}" if custom else _kind(code)


def _name(content: bytes) -> str:
    """A name on one line, whatever is in the file."""
    return printable(content[:MOST_NAME].decode(errors="replace"))


def _quantization(table: Any, name: str, shape: tuple[int, ...], path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """(scales, zero points, axis) of a tensor; empty arrays where it has none."""
    if table is None or not table.ScaleLength():
        return np.zeros(0, np.float32), np.zeros(0, np.int32), 0
    count = table.ScaleLength()
    scales = np.array(table.ScaleAsNumpy(), np.float32)
    zeros = np.array(table.ZeroPointAsNumpy(), np.int64) if table.ZeroPointLength() else np.zeros(count, np.int64)
    axis = int(table.QuantizedDimension())
    if not np.all(np.isfinite(scales)) or np.any(scales <= 0):
        raise UserError(f"{path}: damaged TFLite file (tensor '{name}' has a scale that is no positive number)")
    if len(zeros) != count or np.any(zeros < -32768) or np.any(zeros > 65535):
        raise UserError(f"{path}: damaged TFLite file (tensor '{name}' has zero points that do not fit its scales)")
    if count > 1 and not (0 <= axis < len(shape) and shape[axis] == count):
        raise UserError(f"{path}: damaged TFLite file (tensor '{name}' has {count} scales for shape {list(shape)})")
    return scales, zeros.astype(np.int32), axis


def _operator(operator: Any, kinds: list[str], tensors: list[Tensor], path: Path) -> Operator:
    if max(operator.InputsLength(), operator.OutputsLength()) > MOST_OPERANDS:
        raise UserError(f"{path}: damaged TFLite file (an operator of more than {MOST_OPERANDS} operands)")
    inputs = tuple(int(operator.Inputs(i)) for i in range(operator.InputsLength()))
    outputs = tuple(int(operator.Outputs(i)) for i in range(operator.OutputsLength()))
    kind = kinds[operator.OpcodeIndex()]
    if (
        not outputs
        or not all(-1 <= i < len(tensors) for i in inputs)
        or not all(0 <= i < len(tensors) for i in outputs)
    ):
        raise UserError(f"{path}: damaged TFLite file (an operand of a {kind} is no tensor of it)")
    name = tensors[outputs[0]].name.split(";")[0]
    return Operator(kind, name, inputs, outputs, read_options(kind, operator))
