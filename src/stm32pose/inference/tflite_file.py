"""The operators and tensors of a .tflite file, read from the flatbuffer without TensorFlow or an interpreter."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from stm32pose.errors import UserError

DTYPES = {
    "FLOAT32": "float32",
    "FLOAT16": "float16",
    "FLOAT64": "float64",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT16": "int16",
    "UINT16": "uint16",
    "INT32": "int32",
    "UINT32": "uint32",
    "INT64": "int64",
    "BOOL": "bool",
}
DAMAGE = (struct.error, IndexError, KeyError, ValueError, TypeError, AttributeError, OverflowError, MemoryError)
"""What reading a damaged flatbuffer raises."""


@dataclass(frozen=True)
class RawTensor:
    """A tensor as the file has it; `data` is the number of bytes of its constant, 0 for an activation.

    `scale` and `zero_point` are the first of its `scales` ones; 0.0 and 0 where it has none.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    data: int
    buffer: int
    scales: int
    scale: float = 0.0
    zero_point: int = 0


@dataclass(frozen=True)
class RawOp:
    """An operator as the file has it; -1 among the inputs is an operand left out."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any


@dataclass(frozen=True)
class RawGraph:
    """The main subgraph of a file, nothing folded."""

    tensors: tuple[RawTensor, ...]
    ops: tuple[RawOp, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_raw(content: bytes, path: Path) -> RawGraph:
    """Operators and tensors of the main subgraph, as they are. UserError: not a TFLite file, or damaged."""
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != b"TFL3":
        raise UserError(f"{path}: not a TFLite file, or damaged (its identifier is missing)")
    try:
        model = schema.Model.GetRootAs(content, 0)
        subgraph: Any = model.Subgraphs(0)
        codes = [_kind(model.OperatorCodes(index)) for index in range(model.OperatorCodesLength())]
        tensors = tuple(_raw_tensor(model, subgraph.Tensors(index)) for index in range(subgraph.TensorsLength()))
        ops = []
        for index in range(subgraph.OperatorsLength()):
            operator = subgraph.Operators(index)
            ops.append(
                RawOp(
                    kind=codes[operator.OpcodeIndex()],
                    inputs=tuple(operator.Inputs(i) for i in range(operator.InputsLength())),
                    outputs=tuple(operator.Outputs(i) for i in range(operator.OutputsLength())),
                    options=_options(operator),
                )
            )
        return RawGraph(
            tensors,
            tuple(ops),
            tuple(subgraph.Inputs(i) for i in range(subgraph.InputsLength())),
            tuple(subgraph.Outputs(i) for i in range(subgraph.OutputsLength())),
        )
    except DAMAGE as error:
        raise UserError(f"{path}: damaged TFLite file ({type(error).__name__}: {error})") from error


def image_steps(raw: RawGraph) -> tuple[str, float, int] | None:
    """Type, scale and zero point that the first input is stored in: its own, or those of the QUANTIZE behind it.

    An integer without a scale takes whole numbers as they are: scale 1. None where nothing quantizes the input.
    """
    if not raw.inputs:
        return None
    given = raw.tensors[raw.inputs[0]]
    if given.dtype.lstrip("u").startswith("int"):
        return given.dtype, given.scale or 1.0, given.zero_point
    for op in raw.ops:
        if op.kind == "QUANTIZE" and op.inputs[0] == raw.inputs[0]:
            stored = raw.tensors[op.outputs[0]]
            return stored.dtype, stored.scale, stored.zero_point
    return None


def _raw_tensor(model: Any, tensor: Any) -> RawTensor:
    buffer = tensor.Buffer()
    quantization = tensor.Quantization()
    scales = quantization.ScaleLength() if quantization else 0
    return RawTensor(
        name=(tensor.Name() or b"").decode(errors="replace"),
        shape=tuple(tensor.Shape(index) for index in range(tensor.ShapeLength())),
        dtype=DTYPES.get(_names("TensorType")[tensor.Type()], "float32"),
        data=model.Buffers(buffer).DataLength(),
        buffer=buffer,
        scales=scales,
        scale=float(quantization.Scale(0)) if scales else 0.0,
        zero_point=int(quantization.ZeroPoint(0)) if scales and quantization.ZeroPointLength() else 0,
    )


def _kind(code: Any) -> str:
    builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = _names("BuiltinOperator")[builtin]
    return (code.CustomCode() or b"CUSTOM").decode(errors="replace") if name == "CUSTOM" else name


def _options(operator: Any) -> Any:
    """The typed options of the operators whose kernel or stride matters; None for the others."""
    from ai_edge_litert import schema_py_generated as schema

    names = {"Conv2DOptions", "DepthwiseConv2DOptions", "Pool2DOptions", "TransposeConvOptions"}
    name = _names("BuiltinOptions").get(operator.BuiltinOptionsType())
    table = operator.BuiltinOptions()
    if name not in names or table is None:
        return None
    make: Callable[[], Any] = getattr(schema, name)
    options = make()
    options.Init(table.Bytes, table.Pos)
    return options


@cache
def _names(enumeration: str) -> dict[int, str]:
    """Number -> name of an enumeration of the TFLite schema."""
    from ai_edge_litert import schema_py_generated as schema

    members = vars(getattr(schema, enumeration))
    return {value: name for name, value in members.items() if isinstance(value, int)}
