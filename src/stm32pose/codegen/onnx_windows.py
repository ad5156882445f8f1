"""Nodes that sum or weigh neighbours: average pools, means, softmax, resizing."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from typing import Any

import numpy as np

from stm32pose.codegen.onnx_builder import Builder, emit
from stm32pose.codegen.onnx_movement import reduce, reduced_axes
from stm32pose.codegen.onnx_values import CHANNELS_LAST, Pending, Steps, Stored, Value, identity
from stm32pose.codegen.onnx_weighted import pair, window


def average_pool(b: Builder) -> Pending:
    """AveragePool; `count_include_pad`: whether zeros of the padding count."""
    attributes = b.attributes()
    given = b.stored(b.value(0))
    kernel, stride, dilation = (pair(b, attributes, name) for name in ("kernel_shape", "strides", "dilations"))
    if dilation != (1, 1) or len(given.shape) != 4:
        raise b.refuse(f"dilations {list(dilation)}, input {list(given.shape)}")
    pads, size = window(b, attributes, given.shape[2:], kernel, stride, dilation)
    include = bool(attributes.get("count_include_pad", 0)) and any(pads)
    if include and attributes.get("ceil_mode", 0):
        raise b.refuse("count_include_pad with ceil_mode")
    shape = (*given.shape[:2], *size)
    options = {"kernel": kernel, "stride": stride, "pads": pads, "count_include_pad": include}

    def build(steps: Steps | None, activation: str) -> Stored:
        source = b.ordered(given, CHANNELS_LAST)
        like = Stored(-1, shape, CHANNELS_LAST, shape, False)
        return b.result("AVERAGE_POOL_2D", [source.index], like, steps, {**options, "activation": activation})

    return b.waiting("AVERAGE_POOL_2D", shape, build)


def mean(b: Builder) -> Pending:
    """ReduceMean, ReduceSum, GlobalAveragePool."""
    given = b.stored(b.value(0))
    axes, keep = reduced_axes(b, len(given.shape))
    kind = "SUM" if b.node.op_type == "ReduceSum" else "MEAN"
    whole = [1 if axis in axes else size for axis, size in enumerate(given.shape)]
    shape = tuple(size for axis, size in enumerate(whole) if keep or axis not in axes)

    def build(steps: Steps | None, activation: str) -> Stored:
        if steps is None:
            raise b.refuse("its result is not quantized")
        made = reduce(b, kind, b.plain(given), axes, keep, steps)
        if activation == "NONE":
            return made
        raise b.refuse(f"{activation} after it, without a quantization between them")

    return b.waiting(kind, shape, build)


def softmax(b: Builder) -> Pending:
    """Softmax along one axis, wherever it is stored; in float32 where it is the network's output."""
    given = b.stored(b.value(0))
    axis = int(b.attributes().get("axis", -1))
    axis += len(given.shape) if axis < 0 else 0
    if not 0 <= axis < len(given.shape):
        raise b.damaged(f"'{b.title}' has axis {axis} of {len(given.shape)}")

    def build(steps: Steps | None, activation: str) -> Stored:
        if activation != "NONE":
            raise b.refuse(f"{activation} after it, without a quantization between them")
        source = b.plain(given)
        return b.result("SOFTMAX", [source.index], source, steps, {"beta": 1.0, "axis": source.order.index(axis)})

    return b.waiting("SOFTMAX", given.shape, build, floats=True)


def resize(b: Builder) -> Value:
    """Resize of rows and columns, nearest or linear."""
    attributes, value = b.attributes(), b.value(0)
    mode = attributes.get("mode", "nearest")
    transform = attributes.get("coordinate_transformation_mode", "half_pixel")
    if mode not in ("nearest", "linear"):
        raise b.refuse(f"mode '{mode}'; nearest and linear are known")
    if transform not in ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"):
        raise b.refuse(f"coordinate_transformation_mode '{transform}'")
    if attributes.get("antialias", 0):
        raise b.refuse("antialias")
    shape, scales = _target(b, attributes, value.shape)
    changed = [axis for axis in range(len(shape)) if shape[axis] != value.shape[axis] or scales[axis] != 1.0]
    if not changed:
        return value
    order = next((o for o in (CHANNELS_LAST, identity(4)) if set(changed) <= {o[1], o[2]}), None)
    if len(shape) != 4 or order is None:
        raise b.refuse(f"from {list(value.shape)} to {list(shape)}; rows and columns of images are known")
    places = [_positions(transform, shape[axis], value.shape[axis], scales[axis]) for axis in (order[1], order[2])]
    sizes = [value.shape[axis] for axis in (order[1], order[2])]
    if mode == "nearest":
        rounding = attributes.get("nearest_mode", "round_prefer_floor")
        rows, columns = (_nearest(rounding, p, size) for p, size in zip(places, sizes, strict=True))
        options = _nearest_options(rows, columns, sizes)

        def move(stored: Stored) -> Stored:
            return emit(b, "RESIZE_NEAREST_NEIGHBOR", b.ordered(stored, order), shape, order, options)

        return b.moved(value, move)
    given = b.stored(value)
    rows, columns = (_linear(p, size) for p, size in zip(places, sizes, strict=True))
    options = {
        "align_corners": transform == "align_corners",
        "half_pixel_centers": "half_pixel" in transform,
        "row_weights": rows,
        "column_weights": columns,
    }

    def build(steps: Steps | None, activation: str) -> Stored:
        like = Stored(-1, shape, order, shape, False)
        return b.result(
            "RESIZE_BILINEAR", [b.ordered(given, order).index], like, steps, {**options, "activation": activation}
        )

    return b.waiting("RESIZE_BILINEAR", shape, build)


def _target(b: Builder, attributes: dict, shape: Sequence[int]) -> tuple[tuple[int, ...], list[np.float32]]:
    """(shape, scale of each axis) of a resized tensor."""
    rank = len(shape)
    axes = [int(axis) % rank for axis in attributes.get("axes", range(rank))]
    made, scales = list(shape), [np.float32(1)] * rank
    if b.has(3):
        sizes = b.ints(3)
        if attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise b.refuse("keep_aspect_ratio_policy")
        if len(sizes) != len(axes) or min(sizes) < 1:
            raise b.damaged(f"'{b.title}' has sizes {sizes}")
        for axis, size in zip(axes, sizes, strict=True):
            made[axis], scales[axis] = size, np.float32(size) / np.float32(shape[axis])
    else:
        given = b.array(2).reshape(-1).astype(np.float32) if b.has(2) else np.zeros(0, np.float32)
        if len(given) != len(axes) or not np.all(np.isfinite(given)) or given.min() <= 0:
            raise b.damaged(f"'{b.title}' has scales {given.tolist()}")
        for axis, scale in zip(axes, given, strict=True):
            made[axis], scales[axis] = floor(float(np.float32(shape[axis]) * scale)), scale
    if min(made) < 1 or max(made) > 1 << 16:
        raise b.damaged(f"'{b.title}' gives {made}")
    return tuple(made), scales


def _positions(transform: str, made: int, size: int, scale: np.float32) -> np.ndarray:
    """float32 [made], the place in the input of each row of the output."""
    place = np.arange(made, dtype=np.float32)
    half = np.float32(0.5)
    if transform == "asymmetric":
        return place / scale
    if transform == "align_corners":
        return place * np.float32(size - 1) / np.float32(made - 1) if made > 1 else np.zeros(1, np.float32)
    if transform == "pytorch_half_pixel" and made == 1:
        return np.zeros(1, np.float32)
    return (place + half) / scale - half


def _nearest(rounding: str, places: np.ndarray, size: int) -> np.ndarray:
    """int32, the row of the input that each row of the output is."""
    down = np.floor(places)
    found = {
        "round_prefer_floor": np.ceil(places - np.float32(0.5)),
        "round_prefer_ceil": np.floor(places + np.float32(0.5)),
        "floor": down,
        "ceil": np.ceil(places),
    }.get(rounding, down)
    return np.clip(found, 0, size - 1).astype(np.int32)


def _nearest_options(rows: np.ndarray, columns: np.ndarray, sizes: Sequence[int]) -> dict[str, Any]:
    """The flags with which TFLite's operator picks the same rows and columns; the indices themselves where none do."""
    for align, half in ((False, False), (False, True), (True, False)):
        pairs = zip((rows, columns), sizes, strict=True)
        if all(np.array_equal(_tflite_nearest(len(found), size, align, half), found) for found, size in pairs):
            return {"align_corners": align, "half_pixel_centers": half}
    return {"align_corners": False, "half_pixel_centers": False, "rows": rows, "columns": columns}


def _tflite_nearest(made: int, size: int, align: bool, half: bool) -> np.ndarray:
    """TFLite's GetNearestNeighbor of every row."""
    scale = np.float32(size - 1) / np.float32(made - 1) if align and made > 1 else np.float32(size) / np.float32(made)
    place = (np.arange(made, dtype=np.float32) + np.float32(0.5 if half else 0)) * scale
    found = np.trunc(place + np.float32(0.5)) if align else np.floor(place)
    return np.clip(found, 0, size - 1).astype(np.int32)


def _linear(places: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(first, second row of the input, weight of the first, of the second) of each row of the output, as ONNX Runtime.

    Rows int64, weights float32; halves where both rows are one.
    """
    places = np.clip(places, 0, np.float32(size - 1)).astype(np.float32)
    first = np.floor(places).astype(np.int64)
    second = np.minimum(first + 1, size - 1)
    half = np.float32(0.5)
    later = np.where(first == second, half, np.abs(places - first.astype(np.float32)))
    former = np.where(first == second, half, np.abs(places - second.astype(np.float32)))
    return first, second, former.astype(np.float32), later.astype(np.float32)
