"""Inputs and outputs of a network that is read from ONNX: their layout, their types, and where they are quantized."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np

from stm32pose.codegen.network import NotExportable
from stm32pose.codegen.onnx_builder import Builder, by_byte
from stm32pose.codegen.onnx_values import CHANNELS_LAST, Constant, Pending, Pointwise, Steps, Stored, identity


def add_input(b: Builder, name: str, shape: tuple[int, ...], dtype: str) -> None:
    """A graph input: four dimensions channels last. uint8 becomes int8 at once, 128 less."""
    order = CHANNELS_LAST if b.channels_first and len(shape) == 4 else identity(len(shape))
    stored = tuple(shape[axis] for axis in order)
    index = given = b.tensor(name, stored, dtype)
    if dtype == "uint8":
        index = b.tensor(f"{name}_int8", stored)
        b.operator("QUANTIZE", [given], index, {}, name)
        b.borders[index] = given
    b.inputs.append(given)
    b.values[name] = Stored(index, shape, order, shape, dtype != "float32")


def set_steps(b: Builder, value: Stored, steps: Steps) -> None:
    """The quantization of an input, which the first DequantizeLinear tells."""
    scales, zero_points = np.array([steps.scale], np.float32), np.array([steps.zero_point], np.int32)
    index = value.index
    b.tensors[index] = replace(b.tensors[index], scales=scales, zero_points=zero_points)
    for before, after in [(op.inputs[0], op.outputs[0]) for op in b.operators if op.kind in ("TRANSPOSE", "RESHAPE")]:
        if after == index and not b.tensors[before].quantized:
            set_steps(b, replace(value, index=before), steps)
    if index in b.borders:
        given = b.borders[index]
        b.tensors[given] = replace(b.tensors[given], scales=scales, zero_points=zero_points + 128)


def add_output(b: Builder, name: str, dtype: str) -> None:
    """A graph output of the file's type: four dimensions channels last where the file has them first."""
    if name not in b.values:
        raise b.damaged(f"the output '{name}' is made by nothing")
    value = b.values[name]
    if isinstance(value, Constant):
        raise NotExportable(f"{b.path}: the output '{name}' is constant")
    if isinstance(value, Pending):
        value = _float_output(b, value, name)
    elif isinstance(value, Pointwise):
        value = _float_table(b, value, name)
    rank = len(value.shape)
    value = b.ordered(value, CHANNELS_LAST if b.channels_first and rank == 4 else identity(rank))
    tensor = b.tensors[value.index]
    if not value.integer and tensor.dtype == "int8":
        made = b.like(value, name, steps=None, dtype="float32")
        b.operator("DEQUANTIZE", [value.index], made.index, {}, name)
        value = made
    elif value.integer and dtype == "uint8":
        steps = b.steps(value)
        made = b.like(value, name, steps=Steps(steps.scale, steps.zero_point + 128), dtype="uint8")
        b.operator("QUANTIZE", [value.index], made.index, {}, name)
        value = made
    b.tensors[value.index] = replace(b.tensors[value.index], name=name)
    b.outputs.append(value.index)


def _float_output(b: Builder, value: Pending, name: str) -> Stored:
    if value.low == -inf and value.high == inf:
        return value.make(None, -inf, inf)
    raise b.refuse(f"the output '{name}' is limited in float32; quantize it")


def _float_table(b: Builder, value: Pointwise, name: str) -> Stored:
    """The last function of a network, left in float: each stored value has its real result."""
    if value.values.ndim != 1:
        raise b.refuse(f"the output '{name}' has a function a channel in float32; quantize it")
    made = b.like(value.source, name, steps=None, dtype="float32")
    b.operator("DEQUANTIZE", [value.source.index], made.index, {"values": by_byte(value.values)}, value.name)
    return made
