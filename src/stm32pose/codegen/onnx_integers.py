"""What an ONNX network is to give, in NumPy: the rounding rule of docs/c_code.md, which the C code follows to the byte.

ONNX Runtime itself adds in another order from one version, session and processor to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from stm32pose.codegen.network import Network, NotExportable, Operator, Tensor

Run = Callable[[Operator, Network, list[np.ndarray]], Any]
ENDS = {"NONE": (-np.inf, np.inf), "RELU": (0, np.inf), "RELU6": (0, 6), "RELU_N1_TO_1": (-1, 1)}


def run_integers(network: Network, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Outputs of a network for one set of inputs, both of the shapes and types of their tensors, channels last."""
    values: dict[int, np.ndarray] = {
        index: tensor.data for index, tensor in enumerate(network.tensors) if tensor.data is not None
    }
    for index, array in zip(network.inputs, inputs, strict=True):
        tensor = network.tensors[index]
        values[index] = array.reshape(tensor.shape)
    for op in network.operators:
        given = [values[index] for index in op.inputs if index >= 0]
        results = RUNS[op.kind](op, network, given) if op.kind in RUNS else table(op, network, given)
        for index, result in zip(op.outputs, results if isinstance(results, list) else [results], strict=True):
            made = network.tensors[index]
            if (result.shape, result.dtype.name) != (made.shape, made.dtype):
                problem = f"{result.dtype.name} {list(result.shape)} where the file has {made.dtype} {list(made.shape)}"
                raise NotExportable(f"{network.path}: {op.kind} '{op.name}' makes {problem}")
            values[index] = result
    return [values[index] for index in network.outputs]


def store(steps: np.ndarray, made: Tensor, activation: str = "NONE") -> np.ndarray:
    """float32 steps of the output, without its zero point, as it stores them."""
    limits = np.iinfo(made.dtype)
    low, high = (np.rint(np.float32(end) / np.float32(made.scale)) + made.zero_point for end in ENDS[activation])
    whole = np.rint(np.asarray(steps, np.float32)).astype(np.float64) + made.zero_point
    return np.clip(whole, max(limits.min, low), min(limits.max, high)).astype(made.dtype)


def ends(op: Operator, network: Network) -> tuple[Tensor, Tensor]:
    return network.tensors[op.inputs[0]], network.tensors[op.outputs[0]]


def table(op: Operator, network: Network, given: list[np.ndarray]) -> np.ndarray:
    """Any function of one tensor: a table, a table a channel, or slopes a channel."""
    x, y = ends(op, network)
    if "values" in op.options:
        values = op.options["values"]
        places = given[0].view(np.uint8)
        if values.ndim == 1:
            return values[places]
        return values[np.arange(x.shape[-1]), places]
    below, above, start = op.options["slopes"]
    distance = (given[0].astype(np.int32) - x.zero_point).astype(np.float32)
    return store(start + distance * np.where(distance < 0, below, above), y)


def weighted(op: Operator, network: Network, given: list[np.ndarray], sums: np.ndarray) -> np.ndarray:
    x, y = ends(op, network)
    filters = network.tensors[op.inputs[1]]
    if len(given) > 2:
        sums = sums + given[2].astype(np.int64)
    factors = np.float32(x.scale) * filters.scales / np.float32(y.scale)
    return store(sums.astype(np.float32) * factors.astype(np.float32), y, op.options["activation"])


def windows(x: np.ndarray, op: Operator, size: Sequence[int]) -> np.ndarray:
    """[H, W, kh, kw, C] int64 of [1, h, w, C], zeros around it."""
    top, left, bottom, right = op.options["pads"]
    (kh, kw), (sh, sw) = op.options["kernel"], op.options["stride"]
    dh, dw = op.options.get("dilation", (1, 1))
    need = ((size[0] - 1) * sh + (kh - 1) * dh + 1, (size[1] - 1) * sw + (kw - 1) * dw + 1)
    wide = np.zeros(
        (max(need[0], top + x.shape[1] + bottom), max(need[1], left + x.shape[2] + right), x.shape[3]), np.int64
    )
    wide[top : top + x.shape[1], left : left + x.shape[2]] = x[0]
    rows = np.arange(size[0])[:, None] * sh + np.arange(kh) * dh
    columns = np.arange(size[1])[:, None] * sw + np.arange(kw) * dw
    return wide[rows[:, None, :, None], columns[None, :, None, :]]


def conv(op: Operator, network: Network, given: list[np.ndarray]) -> np.ndarray:
    x, y = ends(op, network)
    centred = given[0].astype(np.int64) - x.zero_point
    taps = windows(centred, op, y.shape[1:3]).astype(np.float64)
    weights = given[1].astype(np.float64)
    if op.kind == "DEPTHWISE_CONV_2D":
        taps = np.repeat(taps, weights.shape[3] // x.shape[3], axis=-1)
        sums = np.einsum("hwijc,ijc->hwc", taps, weights[0])
    else:
        groups = x.shape[3] // weights.shape[3]
        parts = zip(np.split(taps, groups, -1), np.split(weights, groups, 0), strict=True)
        sums = np.concatenate([np.tensordot(t, w, ((2, 3, 4), (1, 2, 3))) for t, w in parts], -1)
    return weighted(op, network, given, sums.astype(np.int64)[None])


def transpose_conv(op: Operator, network: Network, given: list[np.ndarray]) -> np.ndarray:
    x, y = ends(op, network)
    centred = (given[0][0].astype(np.int64) - x.zero_point).astype(np.float64)
    top, left = op.options["pads"][:2]
    (sh, sw), (dh, dw) = op.options["stride"], op.options["dilation"]
    sums = np.zeros(y.shape[1:], np.float64)
    for i in range(given[1].shape[1]):
        rows = np.arange(x.shape[1]) * sh + i * dh - top
        inside = (rows >= 0) & (rows < y.shape[1])
        for j in range(given[1].shape[2]):
            columns = np.arange(x.shape[2]) * sw + j * dw - left
            within = (columns >= 0) & (columns < y.shape[2])
            part = centred[inside][:, within] @ given[1][:, i, j].astype(np.float64).T
            sums[np.ix_(rows[inside], columns[within])] += part
    return weighted(op, network, given, sums.astype(np.int64)[None])


def fully_connected(op: Operator, network: Network, given: list[np.ndarray]) -> np.ndarray:
    centred = given[0].astype(np.int64) - network.tensors[op.inputs[0]].zero_point
    return weighted(op, network, given, centred @ given[1].astype(np.int64).T)


def real(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    """float32 that stored values stand for."""
    return (values.astype(np.int32) - tensor.zero_point).astype(np.float32) * np.float32(tensor.scale)


def arithmetic(op: Operator, network: Network, given: list[np.ndarray]) -> np.ndarray:
    y = network.tensors[op.outputs[0]]
    one, two = (real(item, network.tensors[index]) for item, index in zip(given, op.inputs, strict=True))
    functions = {"ADD": np.add, "SUB": np.subtract, "MUL": np.multiply, "DIV": np.divide}
    function = {**functions, "MAXIMUM": np.maximum, "MINIMUM": np.minimum}[op.kind]
    with np.errstate(all="ignore"):
        steps = np.nan_to_num(function(one, two) / np.float32(y.scale), nan=1e9, posinf=1e9, neginf=-1e9)
    return store(steps, y, op.options["activation"])


def quantize(op: Operator, network: Network, given: list[np.ndarray]) -> np.ndarray:
    x, y = ends(op, network)
    if "values" in op.options:
        return table(op, network, given)
    if x.dtype == "float32":
        return store(given[0] / np.float32(y.scale), y)
    return (given[0].view(np.uint8) ^ 128).view(y.dtype)


def dequantize(op: Operator, network: Network, given: list[np.ndarray]) -> np.ndarray:
    x, _ = ends(op, network)
    if "values" in op.options:
        return table(op, network, given)
    return (given[0].astype(np.int32) - x.zero_point).astype(np.float32) * np.float32(x.scale)


def softmax(op: Operator, network: Network, given: list[np.ndarray]) -> np.ndarray:
    x, y = ends(op, network)
    powers = np.exp((-np.arange(256, dtype=np.float32) * np.float32(x.scale)).astype(np.float64)).astype(np.float32)
    axis = op.options["axis"]
    parts = powers[given[0].max(axis, keepdims=True).astype(np.int32) - given[0]]
    # one after the other, as the kernel adds
    sums = np.take(np.cumsum(parts, axis, dtype=np.float32), [-1], axis)
    if y.dtype == "float32":
        return parts / sums
    return store(parts / sums / np.float32(y.scale), y)


def average_pool(op: Operator, network: Network, given: list[np.ndarray]) -> np.ndarray:
    x, y = ends(op, network)
    centred = given[0].astype(np.int64) - x.zero_point
    taps = windows(centred, op, y.shape[1:3]).sum((2, 3))
    counts = windows(np.ones((1, *x.shape[1:3], 1), np.int64), op, y.shape[1:3]).sum((2, 3))
    if op.options["count_include_pad"]:
        counts = np.full_like(counts, np.prod(op.options["kernel"]))
    steps = taps.astype(np.float32) * np.float32(x.scale) / counts.astype(np.float32) / np.float32(y.scale)
    return store(steps[None], y, op.options["activation"])


def mean(op: Operator, network: Network, given: list[np.ndarray]) -> np.ndarray:
    x, y = ends(op, network)
    axes = op.options["axes"]
    sums = (given[0].astype(np.int64) - x.zero_point).sum(axes, keepdims=op.options["keep_dims"])
    count = np.prod([x.shape[axis] for axis in axes]) if op.kind == "MEAN" else 1
    return store(sums.astype(np.float32) * np.float32(x.scale) / np.float32(count) / np.float32(y.scale), y)


def bilinear(op: Operator, network: Network, given: list[np.ndarray]) -> np.ndarray:
    x, y = ends(op, network)
    top, bottom, *down = op.options["row_weights"]
    left, right, *across = op.options["column_weights"]
    values = real(given[0][0], x)
    (upper, lower), (former, later) = (w[:, None, None] for w in down), (w[None, :, None] for w in across)
    mixed = former * upper * values[top][:, left] + later * upper * values[top][:, right]
    mixed = mixed + former * lower * values[bottom][:, left] + later * lower * values[bottom][:, right]
    return store((mixed / np.float32(y.scale))[None], y, op.options["activation"])


def nearest(op: Operator, network: Network, given: list[np.ndarray]) -> np.ndarray:
    from stm32pose.codegen.onnx_windows import _tflite_nearest

    x, y = ends(op, network)
    flags = op.options["align_corners"], op.options["half_pixel_centers"]
    rows, columns = (
        op.options.get(name, _tflite_nearest(y.shape[axis], x.shape[axis], *flags))
        for name, axis in (("rows", 1), ("columns", 2))
    )
    return given[0][:, rows][:, :, columns]


def max_pool(op: Operator, network: Network, given: list[np.ndarray]) -> np.ndarray:
    _, y = ends(op, network)
    taps = windows(given[0].astype(np.int64) + 1000, op, y.shape[1:3]).max((2, 3)) - 1000
    return taps[None].astype(y.dtype)


def pad(op: Operator, network: Network, given: list[np.ndarray]) -> np.ndarray:
    if op.kind == "MIRROR_PAD":
        return np.pad(given[0], op.options["paddings"], "reflect")
    return np.pad(given[0], op.options["paddings"], constant_values=op.options["value"])


def cut(op: Operator, network: Network, given: list[np.ndarray]) -> np.ndarray:
    parts = zip(*(op.options[name] for name in ("begin", "strides", "sizes")), strict=True)
    return given[0][tuple(slice(b, b + (n - 1) * s + 1, s) for b, s, n in parts)]


def depth_to_space(op: Operator, network: Network, given: list[np.ndarray]) -> np.ndarray:
    block = op.options["block"]
    _, rows, columns, channels = given[0].shape
    parts = given[0].reshape(rows, columns, block, block, channels // block**2).transpose(0, 2, 1, 3, 4)
    return parts.reshape(1, rows * block, columns * block, -1)


def space_to_depth(op: Operator, network: Network, given: list[np.ndarray]) -> np.ndarray:
    block = op.options["block"]
    _, rows, columns, channels = given[0].shape
    parts = given[0].reshape(rows // block, block, columns // block, block, channels).transpose(0, 2, 1, 3, 4)
    return parts.reshape(1, rows // block, columns // block, -1)


def reduce_extreme(op: Operator, network: Network, given: list[np.ndarray]) -> np.ndarray:
    function = np.max if op.kind == "REDUCE_MAX" else np.min
    return function(given[0], op.options["axes"], keepdims=op.options["keep_dims"])


RUNS: dict[str, Run] = {
    "CONV_2D": conv,
    "DEPTHWISE_CONV_2D": conv,
    "TRANSPOSE_CONV": transpose_conv,
    "FULLY_CONNECTED": fully_connected,
    "QUANTIZE": quantize,
    "DEQUANTIZE": dequantize,
    "SOFTMAX": softmax,
    "AVERAGE_POOL_2D": average_pool,
    "MEAN": mean,
    "SUM": mean,
    "RESIZE_BILINEAR": bilinear,
    "RESIZE_NEAREST_NEIGHBOR": nearest,
    "MAX_POOL_2D": max_pool,
    "PAD": pad,
    "MIRROR_PAD": pad,
    "STRIDED_SLICE": cut,
    "DEPTH_TO_SPACE": depth_to_space,
    "SPACE_TO_DEPTH": space_to_depth,
    "REDUCE_MAX": reduce_extreme,
    "REDUCE_MIN": reduce_extreme,
    "RESHAPE": lambda op, network, given: given[0].reshape(network.tensors[op.outputs[0]].shape),
    "TRANSPOSE": lambda op, network, given: np.ascontiguousarray(given[0].transpose(op.options["perm"])),
    "CONCATENATION": lambda op, network, given: np.concatenate(given, op.options["axis"]),
    "GATHER": lambda op, network, given: np.take(given[0], given[1], op.options["axis"]),
    "ARG_MAX": lambda op, network, given: given[0].argmax(op.options["axis"]),
    "ARG_MIN": lambda op, network, given: given[0].argmin(op.options["axis"]),
    "CAST": lambda op, network, given: given[0].astype(network.tensors[op.outputs[0]].dtype),
    **dict.fromkeys(("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM"), arithmetic),
}
