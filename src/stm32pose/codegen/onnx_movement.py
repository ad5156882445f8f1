"""Nodes that give elements of their input in another order: reshapes, slices, joins, pads, pools of the greatest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf, prod
from typing import Any

import numpy as np

from stm32pose.codegen.onnx_builder import Builder, emit
from stm32pose.codegen.onnx_values import (
    CHANNELS_LAST,
    Constant,
    Pointwise,
    Steps,
    Stored,
    Value,
    identity,
)
from stm32pose.codegen.onnx_weighted import pair, window

LAST = (1 << 63) - 1


def transpose(b: Builder) -> Value:
    """Only what the file sees changes; elements move when somebody needs another order."""
    perm = b.attributes().get("perm")

    def move(value: Stored) -> Stored:
        value = b.plain(value)
        order = [int(axis) for axis in perm] if perm is not None else list(reversed(range(len(value.shape))))
        if sorted(order) != list(range(len(value.shape))):
            raise b.damaged(f"'{b.title}' has perm {order} for {list(value.shape)}")
        shape = tuple(value.shape[axis] for axis in order)
        return replace(value, base=shape, shape=shape, order=tuple(order.index(axis) for axis in value.order))

    return b.moved(b.value(0), move)


def reshape(b: Builder) -> Value:
    """Reshape, Flatten, Squeeze, Unsqueeze."""
    value = b.value(0)
    wanted = new_shape(b, value.shape)
    return b.moved(value, lambda stored: b.reshaped(stored, wanted))


def new_shape(b: Builder, shape: tuple[int, ...]) -> tuple[int, ...]:
    """What a node that only reshapes makes of a shape."""
    kind, attributes = b.node.op_type, b.attributes()
    if kind == "Reshape":
        wanted = b.ints(1)
        if not attributes.get("allowzero", 0):
            wanted = [shape[i] if size == 0 and i < len(shape) else size for i, size in enumerate(wanted)]
        if wanted.count(-1) == 1:
            rest = -prod(wanted)
            wanted[wanted.index(-1)] = prod(shape) // rest if rest else 0
        return tuple(wanted)
    if kind == "Flatten":
        axis = int(attributes.get("axis", 1))
        axis += len(shape) if axis < 0 else 0
        return prod(shape[:axis]), prod(shape[axis:])
    axes = [int(axis) for axis in attributes["axes"]] if "axes" in attributes else b.ints(1) if b.has(1) else None
    if kind == "Squeeze":
        gone = (
            {axis for axis, size in enumerate(shape) if size == 1} if axes is None else set(_axes(b, axes, len(shape)))
        )
        return tuple(size for axis, size in enumerate(shape) if axis not in gone)
    places = set(_axes(b, axes or [], len(shape) + len(axes or [])))
    rest = iter(shape)
    return tuple(1 if axis in places else next(rest) for axis in range(len(shape) + len(places)))


def split(b: Builder) -> list[Value]:
    value, attributes = b.value(0), b.attributes()
    axis = _axes(b, [int(attributes.get("axis", 0))], len(value.shape))[0]
    size, count = value.shape[axis], len(b.node.output)
    if b.has(1):
        sizes = b.ints(1)
    else:
        each = -(-size // count)
        sizes = [min(each, size - each * place) for place in range(count)]
    if len(sizes) != count or sum(sizes) != size or min(sizes) < 1:
        raise b.damaged(f"'{b.title}' splits {size} into {sizes}")
    made: list[Value] = []
    for place, length in enumerate(sizes):
        begin = sum(sizes[:place])
        made.append(
            b.moved(value, lambda stored, begin=begin, length=length: _cut(b, stored, {axis: (begin, 1, length)}))
        )
    return made


def cut(b: Builder) -> Value:
    """Slice with constant ends and steps above 0."""
    value = b.value(0)
    starts, ends = b.ints(1), b.ints(2)
    axes = _axes(b, b.ints(3) if b.has(3) else list(range(len(starts))), len(value.shape))
    steps = b.ints(4) if b.has(4) else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise b.damaged(f"'{b.title}' has {len(starts)} starts for {len(axes)} axes")
    parts = {}
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step < 1:
            raise b.refuse(f"a step of {step}; steps above 0 are known")
        found = range(*slice(start, end, step).indices(value.shape[axis]))
        if not found:
            raise b.damaged(f"'{b.title}' takes nothing of axis {axis}")
        parts[axis] = (found.start, step, len(found))
    return b.moved(value, lambda stored: _cut(b, stored, parts))


def _cut(b: Builder, value: Stored, parts: dict[int, tuple[int, int, int]]) -> Stored:
    """STRIDED_SLICE; `parts`: axis -> (begin, stride, size)."""
    value = b.plain(value)
    every = {axis: parts.get(axis, (0, 1, size)) for axis, size in enumerate(value.shape)}
    if all(every[axis] == (0, 1, size) for axis, size in enumerate(value.shape)):
        return value
    shape = tuple(every[axis][2] for axis in range(len(value.shape)))
    begin, strides, sizes = (tuple(every[axis][i] for axis in value.order) for i in range(3))
    options = {"begin": begin, "strides": strides, "sizes": sizes}
    return emit(b, "STRIDED_SLICE", value, shape, value.order, options)


def gather(b: Builder) -> Value:
    """Gather with constant indices."""
    value, indices = b.value(0), b.array(1)
    axis = _axes(b, [int(b.attributes().get("axis", 0))], len(value.shape))[0]
    size = value.shape[axis]
    flat = [int(index) + (size if index < 0 else 0) for index in indices.reshape(-1)]
    if not flat or min(flat) < 0 or max(flat) >= size or indices.ndim > 1:
        raise b.refuse(f"indices {list(indices.shape)}, {flat[:4]}... of {size}; one row of them is known")

    def move(stored: Stored) -> Stored:
        strides = {second - first for first, second in pairwise(flat)} or {1}
        if len(strides) == 1 and min(strides) > 0:
            made = _cut(b, stored, {axis: (flat[0], min(strides), len(flat))})
        else:
            stored = b.plain(stored)
            data = np.array(flat, np.int32)
            picks = b.constant(f"{b.title}/indices", data, np.zeros(0), np.zeros(0))
            shape = (*stored.shape[:axis], len(flat), *stored.shape[axis + 1 :])
            made = emit(b, "GATHER", stored, shape, stored.order, {"axis": stored.order.index(axis)}, (picks,))
        if indices.ndim:
            return made
        return b.reshaped(made, (*made.shape[:axis], *made.shape[axis + 1 :]))

    return b.moved(value, move)


def concat(b: Builder) -> Value:
    """Concat; operands of other scales are brought to the result's, which its quantization would do anyway."""
    values = [b.value(place) for place in range(len(b.node.input))]
    if any(isinstance(value, Constant) for value in values):
        raise b.refuse("with a constant operand")
    rank = len(values[0].shape)
    axis = _axes(b, [int(b.attributes().get("axis", 0))], rank)[0]
    rests = {(*value.shape[:axis], *value.shape[axis + 1 :]) for value in values}
    if len(rests) != 1 or any(len(value.shape) != rank for value in values):
        raise b.damaged(f"'{b.title}' joins {[list(value.shape) for value in values]} along axis {axis}")
    shape = list(values[0].shape)
    shape[axis] = sum(value.shape[axis] for value in values)

    def join(parts: Sequence[Stored]) -> Stored:
        orders = [part.order for part in parts if part.plain]
        order = orders[0] if orders else identity(rank)
        parts = [b.ordered(part, order) for part in parts]
        if len(parts) == 1:
            return parts[0]
        options = {"axis": order.index(axis), "activation": "NONE"}
        return emit(b, "CONCATENATION", parts[0], shape, order, options, [part.index for part in parts[1:]])

    stored = [value for value in values if isinstance(value, Stored)]
    if len(stored) == len(values):
        seen = {_steps_key(b, value) for value in stored}
        if len(seen) == 1:
            return join(stored)
        if stored[0].integer:
            raise b.refuse("it joins stored integers of different scales")

    def build(steps: Steps | None, activation: str) -> Stored:
        if steps is None:
            raise b.refuse("its result is not quantized")
        return join([b.in_steps(value, steps, _name(b, value)) for value in values])

    waiting = b.waiting("CONCATENATION", shape, build)

    def make(steps: Steps | None, low: float, high: float) -> Stored:
        made = waiting.make(steps, -inf, inf)
        if steps is None or (low, high) == (-inf, inf):
            return made
        values = np.clip(steps.real(), np.float32(low), np.float32(high))
        return b.pointwise(Pointwise(made, values, "CLIP", waiting.name), steps)

    return replace(waiting, make=make)


def pad(b: Builder) -> Value:
    """Pad with a constant, or reflected."""
    value, attributes = b.value(0), b.attributes()
    mode = attributes.get("mode", "constant")
    rank = len(value.shape)
    pads = b.ints(1)
    axes = _axes(b, b.ints(3) if b.has(3) else list(range(rank)), rank)
    if len(pads) != 2 * len(axes):
        raise b.damaged(f"'{b.title}' has {len(pads)} pads for {len(axes)} axes")
    pairs = {axis: (pads[place], pads[place + len(axes)]) for place, axis in enumerate(axes)}
    if any(min(found) < 0 for found in pairs.values()):
        raise b.refuse(f"pads {pads}; negative ones are not known")
    if mode not in ("constant", "reflect"):
        raise b.refuse(f"mode '{mode}'; constant and reflect are known")
    number = float(b.array(2).reshape(())) if mode == "constant" and b.has(2) else 0.0
    if not np.isfinite(number):
        raise b.refuse(f"it pads with {number}")
    shape = tuple(size + sum(pairs.get(axis, (0, 0))) for axis, size in enumerate(value.shape))

    def move(stored: Stored) -> Stored:
        stored = b.plain(stored)
        if shape == stored.shape:
            return stored
        paddings = tuple(pairs.get(axis, (0, 0)) for axis in stored.order)
        options: dict[str, Any] = {"paddings": paddings, "mode": "CONSTANT"}
        if mode == "reflect":
            return emit(b, "MIRROR_PAD", stored, shape, stored.order, {**options, "mode": "REFLECT", "value": 0})
        if stored.integer:
            shifted = stored.index in b.borders  # uint8 in the file, int8 here
            options["value"] = int(number) - (128 if shifted else 0)
        else:
            options["value"] = int(b.steps(stored).store(number))
        return emit(b, "PAD", stored, shape, stored.order, options)

    if mode == "reflect" or number == 0.0 or (isinstance(value, Stored) and value.integer):
        return b.moved(value, move)
    return b.moved(_unquantized(b, value), move)


def _unquantized(b: Builder, value: Value) -> Value:
    """A stored value as one that waits for its quantization, so that what is done to it is done in that one's steps."""
    if not isinstance(value, Stored):
        return value
    return Pointwise(b.stored(value), b.steps(value).real(), "QUANTIZE", b.title)


def max_pool(b: Builder) -> Value:
    attributes = b.attributes()
    if len(b.node.output) > 1 and b.node.output[1]:
        raise b.refuse("its indices are asked for")
    kernel, stride, dilation = (pair(b, attributes, name) for name in ("kernel_shape", "strides", "dilations"))
    if dilation != (1, 1):
        raise b.refuse(f"dilations {list(dilation)}")
    value = b.value(0)
    if len(value.shape) != 4:
        raise b.refuse(f"input {list(value.shape)}; only images, of four dimensions, are known")
    pads, size = window(b, attributes, value.shape[2:], kernel, stride, dilation)
    options = {"kernel": kernel, "stride": stride, "pads": pads, "activation": "NONE"}

    def move(stored: Stored) -> Stored:
        stored = b.ordered(stored, CHANNELS_LAST)
        return emit(b, "MAX_POOL_2D", stored, (*stored.shape[:2], *size), CHANNELS_LAST, options)

    return b.moved(value, move)


def extreme_reduction(b: Builder) -> Value:
    """ReduceMax, ReduceMin, GlobalMaxPool."""
    value = b.value(0)
    axes, keep = reduced_axes(b, len(value.shape))
    kind = "REDUCE_MIN" if b.node.op_type == "ReduceMin" else "REDUCE_MAX"

    def move(stored: Stored) -> Stored:
        return reduce(b, kind, b.plain(stored), axes, keep, None)

    return b.moved(value, move)


def reduced_axes(b: Builder, rank: int) -> tuple[list[int], bool]:
    """(axes, whether they stay as 1) of a reduction."""
    if b.node.op_type.startswith("Global"):
        return list(range(2, rank)), True
    attributes = b.attributes()
    axes = [int(axis) for axis in attributes["axes"]] if "axes" in attributes else b.ints(1) if b.has(1) else []
    if not axes and attributes.get("noop_with_empty_axes", 0):
        raise b.refuse("no axes")
    return sorted(_axes(b, axes or list(range(rank)), rank)), bool(attributes.get("keepdims", 1))


def reduce(b: Builder, kind: str, value: Stored, axes: list[int], keep: bool, steps: Steps | None) -> Stored:
    """A reduction over axes that the file sees. `steps`: of the result; None: those of the input."""
    places = tuple(sorted(value.order.index(axis) for axis in axes))
    whole = tuple(1 if axis in axes else size for axis, size in enumerate(value.shape))
    options = {"axes": places, "keep_dims": True, "activation": "NONE"}
    if steps is None:
        made = emit(b, kind, value, whole, value.order, options)
    else:
        like = Stored(-1, whole, value.order, whole, False)
        made = b.result(kind, [value.index], like, steps, options)
    return made if keep else b.reshaped(made, tuple(size for axis, size in enumerate(whole) if axis not in axes))


def depth_to_space(b: Builder) -> Value:
    attributes = b.attributes()
    block, mode = int(attributes.get("blocksize", 0)), attributes.get("mode", "DCR")
    value = b.value(0)
    if len(value.shape) != 4 or block < 1 or value.shape[1] % block**2 or mode not in ("DCR", "CRD"):
        raise b.damaged(f"'{b.title}' has blocks of {block} for {list(value.shape)}")
    _, channels, rows, columns = value.shape
    deep = channels // block**2

    def move(stored: Stored) -> Stored:
        stored = b.ordered(stored, CHANNELS_LAST)
        if mode == "CRD" and deep > 1 and block > 1:  # TFLite's blocks are outside of the channels
            flat = b.relabelled(stored, (rows * columns, deep, block**2), (0, 1, 2))
            flat = b.ordered(flat, (0, 2, 1))
            stored = b.relabelled(replace(flat, integer=stored.integer), stored.shape, CHANNELS_LAST)
        shape = (1, deep, rows * block, columns * block)
        return emit(b, "DEPTH_TO_SPACE", stored, shape, CHANNELS_LAST, {"block": block})

    return b.moved(value, move)


def space_to_depth(b: Builder) -> Value:
    block = int(b.attributes().get("blocksize", 0))
    value = b.value(0)
    if len(value.shape) != 4 or block < 1 or value.shape[2] % block or value.shape[3] % block:
        raise b.damaged(f"'{b.title}' has blocks of {block} for {list(value.shape)}")
    _, channels, rows, columns = value.shape

    def move(stored: Stored) -> Stored:
        stored = b.ordered(stored, CHANNELS_LAST)
        shape = (1, channels * block**2, rows // block, columns // block)
        return emit(b, "SPACE_TO_DEPTH", stored, shape, CHANNELS_LAST, {"block": block})

    return b.moved(value, move)


def arg_max(b: Builder) -> Value:
    """ArgMax and ArgMin: int64, whatever the steps of the input."""
    attributes = b.attributes()
    if attributes.get("select_last_index", 0):
        raise b.refuse("select_last_index")
    value = b.value(0)
    if not isinstance(value, Stored):
        value = b.stored(value)
    value = b.plain(value)
    axis = _axes(b, [int(attributes.get("axis", 0))], len(value.shape))[0]
    shape = tuple(size for place, size in enumerate(value.shape) if place != axis)
    order = tuple(place - (place > axis) for place in value.order if place != axis)
    index = b.tensor(b.node.output[0], [shape[place] for place in order], "int64")
    kind = "ARG_MAX" if b.node.op_type == "ArgMax" else "ARG_MIN"
    b.operator(kind, [value.index], index, {"axis": value.order.index(axis)}, b.title)
    made = Stored(index, shape, order, shape, True)
    if not attributes.get("keepdims", 1):
        return made
    return b.reshaped(made, (*shape[:axis], 1, *shape[axis:]))


def _axes(b: Builder, axes: Sequence[int], rank: int) -> list[int]:
    """Axes counted from the front. UserError: there are none such, or one twice."""
    found = [axis + rank if axis < 0 else axis for axis in axes]
    if any(not 0 <= axis < rank for axis in found) or len(set(found)) != len(found):
        raise b.damaged(f"'{b.title}' has axes {list(axes)} of {rank}")
    return found


def _steps_key(b: Builder, value: Stored) -> tuple[Any, ...]:
    tensor = b.tensors[value.index]
    return tensor.dtype, tensor.scale, tensor.zero_point, value.integer


def _name(b: Builder, value: Value) -> str:
    return b.tensors[value.index].name if isinstance(value, Stored) else b.title
