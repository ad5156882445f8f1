"""Operators that move elements to other places: joins, slices, transposes, tiles, blocks, copies."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from stm32pose.codegen.lower.copies import Copy, check_moved, copy_call, element_bytes, row_major
from stm32pose.codegen.network import Network, Operator, Tensor, refuse
from stm32pose.codegen.program import Call
from stm32pose.codegen.targets import Target


def lower_copy(op: Operator, network: Network, target: Target) -> list[Call]:
    """RESHAPE, SQUEEZE, EXPAND_DIMS where the result cannot be the input's own memory."""
    source, made = op.inputs[0], op.outputs[0]
    check_moved(network, op, source, made)
    tensor = network.tensors[source]
    element = (element_bytes(tensor),)
    return [copy_call(network, op, source, made, Copy((tensor.elements,), element, element))]


def lower_transpose(op: Operator, network: Network, target: Target) -> list[Call]:
    source, made = op.inputs[0], op.outputs[0]
    perm: tuple[int, ...] = op.options["perm"]
    tensor = network.tensors[source]
    check_moved(network, op, source, made)
    shape = tuple(tensor.shape[axis] for axis in perm)
    _check_shape(network, op, made, shape)
    size = element_bytes(tensor)
    steps = row_major(tensor.shape, size)
    copy = Copy(shape, tuple(steps[axis] for axis in perm), row_major(shape, size))
    return [copy_call(network, op, source, made, copy)]


def lower_slice(op: Operator, network: Network, target: Target) -> list[Call]:
    """STRIDED_SLICE and SLICE."""
    source, made = op.inputs[0], op.outputs[0]
    tensor = network.tensors[source]
    begin, strides, sizes = (op.options[name] for name in ("begin", "strides", "sizes"))
    check_moved(network, op, source, made, prod(sizes))
    for first, stride, count, size in zip(begin, strides, sizes, tensor.shape, strict=True):
        last = first + (count - 1) * stride
        if not (0 <= first < size and 0 <= last < size):
            raise refuse(network, op, f"it reads {first}..{last} of {size}")
    size = element_bytes(tensor)
    steps = row_major(tensor.shape, size)
    copy = Copy(
        sizes,
        tuple(step * stride for step, stride in zip(steps, strides, strict=True)),
        row_major(sizes, size),
        sum(step * first for step, first in zip(steps, begin, strict=True)),
    )
    return [copy_call(network, op, source, made, copy)]


def lower_split(op: Operator, network: Network, target: Target) -> list[Call]:
    """SPLIT, SPLIT_V and UNPACK: a call an output. Outputs that nothing reads are made all the same."""
    source, axis = op.inputs[0], op.options["axis"]
    tensor = network.tensors[source]
    size = element_bytes(tensor)
    steps = row_major(tensor.shape, size)
    calls, start = [], 0
    for made in op.outputs:
        shape = network.tensors[made].shape
        whole = (*shape[:axis], 1, *shape[axis:]) if op.kind == "UNPACK" else shape
        if len(whole) != len(tensor.shape) or _without(whole, axis) != _without(tensor.shape, axis):
            raise refuse(network, op, f"shape {list(shape)} of {list(tensor.shape)} along axis {axis}")
        check_moved(network, op, source, made, prod(whole))
        if start + whole[axis] > tensor.shape[axis]:
            raise refuse(network, op, f"more than the {tensor.shape[axis]} along axis {axis}")
        copy = Copy(whole, steps, row_major(whole, size), start * steps[axis])
        calls.append(copy_call(network, op, source, made, copy))
        start += whole[axis]
    return calls


def lower_join(op: Operator, network: Network, target: Target) -> list[Call]:
    """CONCATENATION and PACK: a call an operand, the largest first, which the output may then overlap."""
    made, axis = op.outputs[0], op.options["axis"]
    output = network.tensors[made]
    if op.options.get("activation", "NONE") != "NONE":
        raise refuse(network, op, f"with the activation {op.options['activation']}")
    size = element_bytes(output)
    steps = row_major(output.shape, size)
    parts, start = [], 0
    for source in op.inputs:
        tensor = network.tensors[source]
        if tensor.dtype != output.dtype:
            raise refuse(network, op, f"it makes {output.dtype} of {tensor.dtype}")
        shape = (*tensor.shape[:axis], 1, *tensor.shape[axis:]) if op.kind == "PACK" else tensor.shape
        if len(shape) != len(output.shape) or _without(shape, axis) != _without(output.shape, axis):
            raise refuse(network, op, f"shape {list(tensor.shape)} into {list(output.shape)} along axis {axis}")
        copy = Copy(shape, row_major(shape, size), steps, output_start=start * steps[axis])
        table = _rescaled(op, network, tensor, output) if op.kind == "CONCATENATION" else None
        parts.append((source, copy, table))
        start += shape[axis]
    if start != output.shape[axis]:
        raise refuse(network, op, f"{start} of {output.shape[axis]} along axis {axis}")
    parts.sort(key=lambda part: (network.tensors[part[0]].constant, -prod(part[1].count)))
    return [
        copy_call(network, op, source, made, copy, table=table, overlap=place == 0)
        for place, (source, copy, table) in enumerate(parts)
    ]


def lower_tile(op: Operator, network: Network, target: Target) -> list[Call]:
    """TILE and BROADCAST_TO: both only by the shapes."""
    source, made = op.inputs[0], op.outputs[0]
    tensor, shape = network.tensors[source], network.tensors[made].shape
    check_moved(network, op, source, made, prod(shape))
    given = (1,) * (len(shape) - len(tensor.shape)) + tensor.shape
    if len(given) != len(shape) or any(whole % part for whole, part in zip(shape, given, strict=True)):
        raise refuse(network, op, f"shape {list(shape)} of {list(tensor.shape)}")
    if op.kind == "BROADCAST_TO" and any(part not in (1, whole) for whole, part in zip(shape, given, strict=True)):
        raise refuse(network, op, f"shape {list(shape)} of {list(tensor.shape)}")
    size = element_bytes(tensor)
    count: list[int] = []
    read: list[int] = []
    written: list[int] = []
    for whole, part, step, stride in zip(shape, given, row_major(given, size), row_major(shape, size), strict=True):
        count += [whole // part, part]
        read += [0, step]
        written += [stride * part, stride]
    return [copy_call(network, op, source, made, Copy(tuple(count), tuple(read), tuple(written)))]


def lower_blocks(op: Operator, network: Network, target: Target) -> list[Call]:
    """SPACE_TO_DEPTH and DEPTH_TO_SPACE."""
    source, made = op.inputs[0], op.outputs[0]
    tensor, output = network.tensors[source], network.tensors[made]
    block = op.options["block"]
    check_moved(network, op, source, made)
    to_depth = op.kind == "SPACE_TO_DEPTH"
    wide, deep = (tensor, output) if to_depth else (output, tensor)
    if block < 1 or len(wide.shape) != 4 or len(deep.shape) != 4:
        raise refuse(network, op, f"blocks of {block}, shapes {list(tensor.shape)} and {list(output.shape)}")
    batch, rows, columns, channels = wide.shape
    small = (batch, rows // block, columns // block, channels * block * block)
    if rows % block or columns % block or deep.shape != small:
        raise refuse(network, op, f"blocks of {block}, shapes {list(tensor.shape)} and {list(output.shape)}")
    size = element_bytes(tensor)
    image, line, pixel, _ = row_major(wide.shape, size)
    # loops: image, row and column of the blocks, row and column inside a block, channel
    count = (batch, small[1], small[2], block, block, channels)
    of_wide = (image, line * block, pixel * block, line, pixel, size)
    of_deep = row_major(count, size)
    if to_depth:
        copy = Copy(count, of_wide, of_deep)
    else:
        order = (0, 1, 3, 2, 4, 5)
        count, of_deep, of_wide = (tuple(values[i] for i in order) for values in (count, of_deep, of_wide))
        copy = Copy(count, of_deep, of_wide)
    return [copy_call(network, op, source, made, copy)]


def _without(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])


def _check_shape(network: Network, op: Operator, made: int, shape: tuple[int, ...]) -> None:
    if network.tensors[made].shape != shape:
        raise refuse(network, op, f"shape {list(network.tensors[made].shape)}, which should be {list(shape)}")


def _rescaled(op: Operator, network: Network, tensor: Tensor, output: Tensor) -> np.ndarray | None:
    """[256] uint8: what each byte of an operand of CONCATENATION becomes in the output; None: it stays as it is.

    LiteRT joins int8 of equal scales only, and rescales uint8 in float32. ONNX Runtime goes by way of real numbers.
    """
    if not (tensor.quantized and output.quantized) or tensor.dtype not in ("int8", "uint8"):
        return None
    if (tensor.scale, tensor.zero_point) == (output.scale, output.zero_point):
        return None
    if network.rounding == "tflite" and tensor.dtype == "int8":
        raise refuse(network, op, "its operands and its result have different scales, which LiteRT refuses as well")
    dtype = np.dtype(tensor.dtype)
    codes = np.arange(256, dtype=np.uint8).view(dtype)
    one, two = np.float32(tensor.scale), np.float32(output.scale)
    if network.rounding == "tflite":
        scale = one * (np.float32(1) / two)
        value = codes.astype(np.float32) * scale + np.float32(-tensor.zero_point) * scale
        steps = np.trunc(value + np.copysign(np.float32(0.5), value, dtype=np.float32))
    else:
        steps = np.rint((codes.astype(np.float32) - np.float32(tensor.zero_point)) * one / two)
    limits = np.iinfo(dtype)
    return np.clip(steps.astype(np.float64) + output.zero_point, limits.min, limits.max).astype(dtype).view(np.uint8)
