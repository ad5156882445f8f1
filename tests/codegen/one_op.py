"""One-operator .tflite files for tests, built with the schema's object classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int32": schema.TensorType.INT32,
    "uint8": schema.TensorType.UINT8,
    "int64": schema.TensorType.INT64,
    "bool": schema.TensorType.BOOL,
    "int16": schema.TensorType.INT16,
    "int8": schema.TensorType.INT8,
}


@dataclass
class T:
    """A tensor: `data` makes it a constant; scales empty: not quantized."""

    shape: tuple[int, ...]
    dtype: str = "int8"
    scale: Any = None
    zero: Any = 0
    axis: int = 0
    data: np.ndarray | None = None
    name: str = ""


@dataclass
class Op:
    """`options` is a schema object such as Conv2DOptionsT, or None; inputs and outputs index the tensors, -1 absent."""

    kind: str
    inputs: list[int]
    outputs: list[int]
    options: Any = None
    version: int = 5


@dataclass
class Model:
    tensors: list[T]
    ops: list[Op]
    inputs: list[int]
    outputs: list[int]
    extra: dict[str, Any] = field(default_factory=dict)


def build(model: Model) -> bytes:
    """The content of the .tflite file."""
    out = schema.ModelT()
    out.version = 3
    out.description = b"test"
    out.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.name = b"main"
    graph.tensors, graph.operators = [], []
    for place, tensor in enumerate(model.tensors):
        made = schema.TensorT()
        made.name = (tensor.name or f"t{place}").encode()
        made.shape = list(tensor.shape)
        made.type = TYPES[tensor.dtype]
        made.hasRank = True
        if tensor.data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(tensor.data).tobytes(), np.uint8)
            out.buffers.append(buffer)
            made.buffer = len(out.buffers) - 1
        else:
            made.buffer = 0
        if tensor.scale is not None:
            quantization = schema.QuantizationParametersT()
            quantization.scale = np.atleast_1d(np.asarray(tensor.scale, np.float32))
            zeros = np.broadcast_to(np.asarray(tensor.zero, np.int64), quantization.scale.shape)
            quantization.zeroPoint = np.array(zeros)
            quantization.quantizedDimension = tensor.axis
            made.quantization = quantization
        graph.tensors.append(made)
    kinds: list[str] = []
    out.operatorCodes = []
    for op in model.ops:
        if op.kind not in kinds:
            kinds.append(op.kind)
            code = schema.OperatorCodeT()
            number = getattr(schema.BuiltinOperator, op.kind)
            code.builtinCode = number
            code.deprecatedBuiltinCode = min(number, 127)
            code.version = op.version
            out.operatorCodes.append(code)
        made_op = schema.OperatorT()
        made_op.opcodeIndex = kinds.index(op.kind)
        made_op.inputs = list(op.inputs)
        made_op.outputs = list(op.outputs)
        if op.options is not None:
            made_op.builtinOptions = op.options
            name = type(op.options).__name__.removesuffix("T")
            made_op.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        graph.operators.append(made_op)
    graph.inputs, graph.outputs = list(model.inputs), list(model.outputs)
    out.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(out.Pack(builder), b"TFL3")
    return bytes(builder.Output())
