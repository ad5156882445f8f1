"""`Graph` of a .tflite file, read from the flatbuffer without TensorFlow."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path

from stm32pose.benchmark.graph import Graph, Op, Tensor
from stm32pose.errors import UserError
from stm32pose.inference.tflite_file import RawGraph, RawOp, RawTensor, read_raw

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
TABLED = (
    "ADD",
    "SUB",
    "MUL",
    "DIV",
    "MAXIMUM",
    "MINIMUM",
    "PRELU",
    "CONCATENATION",
    "GATHER",
    "BATCH_MATMUL",
    "DEQUANTIZE",
)
"""Operators whose constant operand is data that the flash holds; other constants are shapes and paddings."""
SAME_MEMORY = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE")


def read_tflite(content: bytes, path: Path) -> Graph:
    """The graph of a .tflite file's main subgraph. UserError: damaged, or with shapes that are not known."""
    return build_graph(read_raw(content, path), path, source="tflite")


def build_graph(raw: RawGraph, path: Path, *, source: str) -> Graph:
    """Constants apart, padding folded into convolutions, reshapes as aliases; a float network becomes int8."""
    quantized = any(tensor.scales and tensor.dtype in ("int8", "uint8") for tensor in raw.tensors)
    constants = _constants(raw)
    ops = _fold_padding([op for op in raw.ops if not set(op.outputs) <= constants], constants, raw.outputs)
    used = sorted(
        {index for op in ops for index in (*op.inputs, *op.outputs) if index >= 0 and index not in constants}
        | set(raw.inputs)
        | set(raw.outputs)
    )
    number = {old: new for new, old in enumerate(used)}
    tensors = [_tensor(raw.tensors[index], path, quantized) for index in used]
    counted: set[int] = set()
    aliases, built = {}, []
    for op in ops:
        inputs = tuple(number[index] for index in op.inputs if index in number)
        outputs = tuple(number[index] for index in op.outputs)
        if op.kind in SAME_MEMORY and inputs and inputs[0] not in map(number.get, raw.inputs):
            aliases[outputs[0]] = inputs[0]
        built.append(_op(op, raw, inputs, outputs, constants, counted, quantized))
    return Graph(
        path=path,
        source=source,
        quantized=quantized,
        per_tensor=quantized and _per_tensor(raw),
        tensors=tuple(tensors),
        ops=tuple(built),
        inputs=tuple(number[index] for index in raw.inputs),
        outputs=tuple(number[index] for index in raw.outputs),
        aliases=aliases,
        constant_outputs_bytes=sum(tensors[number[index]].bytes for index in set(raw.outputs) & constants),
    )


def _per_tensor(raw: RawGraph) -> bool:
    """Whether no convolution has weights with a scale a channel."""
    filters = [raw.tensors[op.inputs[1]] for op in raw.ops if op.kind in WEIGHTED]
    return bool(filters) and all(tensor.scales <= 1 for tensor in filters)


def _constants(raw: RawGraph) -> set[int]:
    """Tensors with data in the file, shapes of tensors, and everything computed from those alone."""
    constants = {index for index, tensor in enumerate(raw.tensors) if tensor.data}
    for op in raw.ops:
        if op.kind == "SHAPE" or all(index < 0 or index in constants for index in op.inputs):
            constants.update(op.outputs)
    return constants


def _fold_padding(ops: list[RawOp], constants: set[int], kept: tuple[int, ...]) -> list[RawOp]:
    """A PAD read by convolutions alone costs nothing: their kernels skip the border."""
    readers: dict[int, list[RawOp]] = {}
    for op in ops:
        for index in op.inputs:
            readers.setdefault(index, []).append(op)
    source = {}
    for op in ops:
        if op.kind not in ("PAD", "PADV2") or op.outputs[0] in kept or op.inputs[0] in constants:
            continue
        after = readers.get(op.outputs[0], [])
        if after and all(reader.kind in ("CONV_2D", "DEPTHWISE_CONV_2D") for reader in after):
            source[op.outputs[0]] = op.inputs[0]
    return [
        replace(op, inputs=tuple(source.get(index, index) for index in op.inputs))
        for op in ops
        if not (op.kind in ("PAD", "PADV2") and op.outputs[0] in source)
    ]


def _op(
    op: RawOp,
    raw: RawGraph,
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    constants: set[int],
    counted: set[int],
    quantized: bool,
) -> Op:
    """Work and constants of one operator; a constant shared by several operators is counted once."""
    name = raw.tensors[op.outputs[0]].name.split(";")[0]
    kernel = stride = (1, 1)
    weights = weight_bytes = biases = macs = 0
    result = prod(raw.tensors[op.outputs[0]].shape)

    def fresh(index: int) -> bool:
        known = raw.tensors[index].buffer in counted
        counted.add(raw.tensors[index].buffer)
        return not known

    if op.kind in WEIGHTED:
        filters = raw.tensors[op.inputs[1]]
        shape = filters.shape
        if op.kind == "CONV_2D":
            macs, kernel = result * prod(shape[1:]), (shape[1], shape[2])
        elif op.kind == "DEPTHWISE_CONV_2D":
            macs, kernel = result * shape[1] * shape[2], (shape[1], shape[2])
        elif op.kind == "TRANSPOSE_CONV":
            macs = prod(raw.tensors[op.inputs[2]].shape) * prod(shape[:3])
            kernel = (shape[1], shape[2])
        else:
            macs = result * shape[-1]
        first_use = op.inputs[1] in constants and fresh(op.inputs[1])
        if first_use:
            weights = prod(shape)
            weight_bytes = weights if not quantized else filters.data or weights
        # A bias counts with its weights: the converter merges equal ones, such as the zeros of an untrained model.
        bias = op.inputs[3 if op.kind == "TRANSPOSE_CONV" else 2 :][:1]
        if first_use and bias and bias[0] >= 0:
            biases = prod(raw.tensors[bias[0]].shape)
    elif op.kind in TABLED:
        for index in op.inputs:
            if index in constants and raw.tensors[index].data and fresh(index):
                tensor = raw.tensors[index]
                weights += prod(tensor.shape)
                weight_bytes += tensor.data if quantized else prod(tensor.shape)
        if op.kind == "BATCH_MATMUL":
            macs = result * raw.tensors[op.inputs[0]].shape[-1]
    if op.options is not None and hasattr(op.options, "StrideH"):
        stride = (op.options.StrideH(), op.options.StrideW())
    if op.options is not None and hasattr(op.options, "FilterHeight"):
        kernel = (op.options.FilterHeight(), op.options.FilterWidth())
    return Op(op.kind, name, inputs, outputs, macs, weights, weight_bytes, biases, kernel, stride)


def _tensor(tensor: RawTensor, path: Path, quantized: bool) -> Tensor:
    if any(size < 1 for size in tensor.shape):
        raise UserError(
            f"{path}: tensor '{tensor.name}' has the open shape {list(tensor.shape)}; fix the input's shape"
        )
    dtype = tensor.dtype
    if not quantized and dtype in ("float32", "float16"):
        dtype = "int8"
    return Tensor(tensor.name.split(";")[0], tensor.shape, dtype)
