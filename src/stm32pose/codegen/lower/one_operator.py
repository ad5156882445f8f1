"""One operator as a .tflite file of its own, for LiteRT's reference kernel to fill a table with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stm32pose.codegen.network import Tensor

OPTIONS = {
    "LEAKY_RELU": "LeakyReluOptions",
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
    "DIV": "DivOptions",
}
"""Kind -> table of the schema that its options stand in, of those that need one."""


def one_operator_file(
    kind: str,
    inputs: Sequence[Tensor],
    output: Tensor,
    options: Mapping[str, Any] | None = None,
    *,
    table: str = "",
) -> bytes:
    """The bytes of a .tflite file with one operator.

    Args:
        kind: TFLite's name.
        inputs: constants among them keep their values.
        output: its name, shape, type and scale.
        options: members of the schema's table by their names there (`alpha`, `fusedActivationFunction`).
        table: the schema's table; that of `OPTIONS` if empty.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors = [_tensor(schema, model, tensor) for tensor in (*inputs, output)]
    graph.inputs = [index for index, tensor in enumerate(inputs) if not tensor.constant]
    graph.outputs = [len(inputs)]
    operator = schema.OperatorT()
    operator.inputs = list(range(len(inputs)))
    operator.outputs = [len(inputs)]
    name = table or OPTIONS.get(kind, "")
    if name:
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        operator.builtinOptions = getattr(schema, name + "T")()
        for member, value in (options or {}).items():
            setattr(operator.builtinOptions, member, value)
    graph.operators = [operator]
    model.subgraphs = [graph]
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, kind)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = 1
    model.operatorCodes = [code]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(schema: Any, model: Any, tensor: Tensor) -> Any:
    made = schema.TensorT()
    made.name = tensor.name
    made.shape = list(tensor.shape)
    made.type = getattr(schema.TensorType, tensor.dtype.upper())
    made.buffer = 0
    if tensor.data is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(tensor.data).tobytes(), np.uint8)
        made.buffer = len(model.buffers)
        model.buffers.append(buffer)
    if tensor.quantized:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = [float(scale) for scale in tensor.scales]
        made.quantization.zeroPoint = [int(zero) for zero in tensor.zero_points]
        made.quantization.quantizedDimension = tensor.axis
    return made
