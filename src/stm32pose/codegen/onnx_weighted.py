"""Nodes with weights: Conv, ConvTranspose, Gemm, MatMul."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from stm32pose.codegen.onnx_builder import Builder, emit
from stm32pose.codegen.onnx_values import (
    CHANNELS_LAST,
    Constant,
    Integers,
    Pending,
    Steps,
    Stored,
    identity,
    stored_columns,
)

MOST_HALVED = 254
"""Of a weight that is the sum of two of 8 bits."""
MOST_DENSE = 1 << 20
"""Weights that a grouped transposed convolution may have after it is written without groups."""


def conv(b: Builder) -> Pending:
    given, weights = b.stored(b.value(0)), integer_weights(b, 1)
    attributes = b.attributes()
    if len(given.shape) != 4 or weights.values.ndim != 4:
        raise b.refuse(f"input {list(given.shape)}; only images, of four dimensions, are known")
    count, per_group, *kernel = weights.values.shape
    group = int(attributes.get("group", 1))
    _check_axis(b, weights, 0)
    _check_kernel(b, attributes, kernel)
    if group < 1 or per_group * group != given.shape[1] or count % group:
        raise b.damaged(f"'{b.title}' has weights {list(weights.values.shape)} for {given.shape[1]} channels")
    stride, dilation = (pair(b, attributes, name) for name in ("strides", "dilations"))
    pads, size = window(b, attributes, given.shape[2:], kernel, stride, dilation)
    depthwise = per_group == 1 and group > 1
    kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    options = {"stride": stride, "dilation": dilation, "pads": pads, "kernel": tuple(kernel)}
    if depthwise:
        options["multiplier"] = count // group
    shape = (1, count, *size)

    def build(steps: Steps | None, activation: str) -> Stored:
        source = b.ordered(given, CHANNELS_LAST)
        scales, bias = weights.scales, bias_of(b, 2, b.steps(given), weights.scales, count)
        data = weights.values.transpose(1, 2, 3, 0) if depthwise else weights.values.transpose(0, 2, 3, 1)
        source, data, single = halved(b, source, data, depthwise=depthwise)
        filters = b.constant(b.node.input[1], data, scales, np.zeros(len(scales)), 3 if single else 0)
        within_32_bits(b, b.steps(given), steps, (filters, bias), 3 if single else 0)
        like = Stored(-1, shape, CHANNELS_LAST, shape, False)
        now = "DEPTHWISE_CONV_2D" if single else "CONV_2D"
        return b.result(now, (source.index, filters, bias), like, steps, {**options, "activation": activation})

    return b.waiting(kind, shape, build)


def conv_transpose(b: Builder) -> Pending:
    given, weights = b.stored(b.value(0)), integer_weights(b, 1)
    attributes = b.attributes()
    if len(given.shape) != 4 or weights.values.ndim != 4:
        raise b.refuse(f"input {list(given.shape)}; only images, of four dimensions, are known")
    group = int(attributes.get("group", 1))
    channels, per_group, *kernel = weights.values.shape
    _check_axis(b, weights, 1)
    _check_kernel(b, attributes, kernel)
    if channels != given.shape[1] or group < 1 or channels % group:
        raise b.damaged(f"'{b.title}' has weights {list(weights.values.shape)} for {given.shape[1]} channels")
    count = per_group * group
    stride, dilation = (pair(b, attributes, name) for name in ("strides", "dilations"))
    more = pair(b, attributes, "output_padding", 0)
    reach = [
        s * (n - 1) + e + (k - 1) * d + 1
        for s, n, e, k, d in zip(stride, given.shape[2:], more, kernel, dilation, strict=True)
    ]
    pads, size = _transposed_pads(b, attributes, reach, stride, given.shape[2:])
    if group > 1 and count * channels * prod(kernel) > MOST_DENSE:
        raise b.refuse(f"a transposed convolution of {group} groups; use one without groups")
    shape = (1, count, *size)
    options = {"stride": stride, "dilation": dilation, "pads": pads, "kernel": tuple(kernel)}

    def build(steps: Steps | None, activation: str) -> Stored:
        source = b.ordered(given, CHANNELS_LAST)
        scales = np.tile(weights.scales, group) if len(weights.scales) > 1 else weights.scales
        bias = bias_of(b, 2, b.steps(given), scales, count)
        data = np.zeros((count, *kernel, channels), np.int16)
        inside = channels // group
        for place in range(group):
            part = weights.values[place * inside : (place + 1) * inside].transpose(1, 2, 3, 0)
            data[place * per_group : (place + 1) * per_group, ..., place * inside : (place + 1) * inside] = part
        source, data, _ = halved(b, source, data, depthwise=False)
        filters = b.constant(b.node.input[1], data, scales, np.zeros(len(scales)), 0)
        within_32_bits(b, b.steps(given), steps, (filters, bias), 0)
        like = Stored(-1, shape, CHANNELS_LAST, shape, False)
        return b.result(
            "TRANSPOSE_CONV", (source.index, filters, bias), like, steps, {**options, "activation": activation}
        )

    return b.waiting("TRANSPOSE_CONV", shape, build)


def gemm(b: Builder) -> Pending:
    attributes = b.attributes()
    if attributes.get("alpha", 1.0) != 1.0 or attributes.get("transA", 0):
        raise b.refuse("alpha other than 1, or transA; neither is known")
    if b.has(2) and attributes.get("beta", 1.0) != 1.0:
        raise b.refuse("beta other than 1 is not known")
    return _connected(b, transposed=bool(attributes.get("transB", 0)))


def matmul(b: Builder) -> Pending:
    if not isinstance(b.value(1), Constant):
        raise b.refuse("a product of two computed tensors; one must be constant")
    return _connected(b, transposed=False)


def _connected(b: Builder, *, transposed: bool) -> Pending:
    """FULLY_CONNECTED; where its input is a map that was flattened, the weights are put in the order of its memory."""
    given, weights = b.stored(b.value(0)), integer_weights(b, 1)
    values = weights.values
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
        weights = Integers(values, weights.scales, weights.zero_points, weights.axis - 1)
    if values.ndim != 2 or len(given.shape) < 2:
        raise b.refuse(f"weights {list(values.shape)} for an input {list(given.shape)}")
    _check_axis(b, weights, 0 if transposed else 1)
    values = values if transposed else values.T
    count, depth = values.shape
    if given.shape[-1] != depth:
        raise b.damaged(f"'{b.title}' has {depth} weights an output for {given.shape[-1]} inputs")
    shape = (*given.shape[:-1], count)

    def build(steps: Steps | None, activation: str) -> Stored:
        source, data = given, values
        if not given.plain and prod(given.shape[:-1]) == 1:
            data = values[:, stored_columns(given.base, given.order)]
            source = b.relabelled(given, given.shape, identity(len(given.shape)))
        source = b.ordered(source, identity(len(given.shape)))
        scales = weights.scales
        source, data, _ = halved(b, source, data, depthwise=False)
        bias = bias_of(b, 2, b.steps(given), scales, count) if b.node.op_type == "Gemm" else -1
        filters = b.constant(b.node.input[1], data, scales, np.zeros(len(scales)), 0)
        within_32_bits(b, b.steps(given), steps, (filters, bias), 0)
        like = Stored(-1, shape, identity(len(shape)), shape, False)
        return b.result("FULLY_CONNECTED", (source.index, filters, bias), like, steps, {"activation": activation})

    return b.waiting("FULLY_CONNECTED", shape, build)


def integer_weights(b: Builder, place: int) -> Integers:
    """Weights of 8 bits without zero points: int16, since those of asymmetric ones do not fit 8 bits any more.

    NotExportable: other weights.
    """
    value = b.value(place)
    name = b.node.input[place]
    if not isinstance(value, Constant):
        raise b.refuse(f"its weights '{name}' are computed; they must be constant")
    if value.stored is None:
        raise b.refuse(f"its weights '{name}' are {value.values.dtype.name}, not quantized: quantize the whole network")
    stored = value.stored
    if stored.values.dtype.name not in ("int8", "uint8"):
        raise b.refuse(f"its weights '{name}' are {stored.values.dtype.name}; kernels take weights of 8 bits")
    shape = [1] * stored.values.ndim
    if len(stored.zero_points) > 1:
        shape[stored.axis] = len(stored.zero_points)
    centred = stored.values.astype(np.int32) - stored.zero_points.astype(np.int32).reshape(
        shape if len(stored.zero_points) > 1 else ()
    )
    if centred.size and (centred.min() < -MOST_HALVED or centred.max() > MOST_HALVED):
        raise b.refuse(
            f"its weights '{name}' reach over all of 8 bits on one side of zero; quantize them symmetrically"
        )
    return Integers(centred.astype(np.int16), stored.scales, np.zeros(len(stored.scales), np.int32), stored.axis)


def halved(b: Builder, source: Stored, weights: np.ndarray, *, depthwise: bool) -> tuple[Stored, np.ndarray, bool]:
    """(input, int8 weights, whether it still is depthwise): asymmetric weights as the sum of two int8 ones.

    The input's channels come twice then, one for each part. Weights are [..., channels] of a group, or [1, h, w, C] of
    a depthwise convolution, which becomes one of groups of two channels.
    """
    if weights.size == 0 or (weights.min() >= -128 and weights.max() <= 127):
        return source, weights.astype(np.int8), depthwise
    parts = [weights // 2, weights - weights // 2]
    depth = source.shape[source.order[-1]]
    inside = 1 if depthwise else weights.shape[-1]
    picks = np.arange(depth).reshape(-1, 1, inside).repeat(2, 1).reshape(-1).astype(np.int32)
    axis = len(source.order) - 1
    shape = tuple(2 * size if place == source.order[-1] else size for place, size in enumerate(source.shape))
    indices = b.constant(f"{b.title}/twice", picks, np.zeros(0), np.zeros(0))
    source = emit(b, "GATHER", source, shape, source.order, {"axis": axis}, (indices,))
    if depthwise:
        data = np.stack([part[0].transpose(2, 0, 1) for part in parts], -1)
    else:
        data = np.concatenate(parts, -1)
    return source, data.astype(np.int8), False


def bias_of(b: Builder, place: int, steps: Steps, scales: np.ndarray, count: int) -> int:
    """The tensor of a bias in the steps of the sums; -1: none. NotExportable: it does not fit 32 bits."""
    if not b.has(place):
        return -1
    value, name = b.value(place), b.node.input[place]
    if not isinstance(value, Constant):
        raise b.refuse(f"its bias '{name}' is computed; it must be constant")
    wanted = np.broadcast_to((np.float32(steps.scale) * scales.astype(np.float32)).reshape(-1), (count,))
    stored = value.stored
    if (
        stored is not None
        and stored.values.dtype == np.int32
        and stored.values.size == count
        and not np.any(stored.zero_points)
        and np.allclose(np.broadcast_to(stored.scales.reshape(-1), (count,)), wanted, rtol=1e-5, atol=0)
    ):
        data = stored.values.reshape(-1)
    else:
        real = value.values.astype(np.float64)
        if stored is not None and stored.values.dtype == np.int32 and len(stored.scales) in (1, stored.values.size):
            scale = stored.scales.astype(np.float64).reshape(-1)
            real = (stored.values.astype(np.int64).reshape(-1) - stored.zero_points.reshape(-1)) * scale
        if real.size not in (1, count):
            raise b.refuse(f"its bias '{name}' is {list(real.shape)} for {count} outputs")
        sums = np.rint(np.broadcast_to(real.reshape(-1), (count,)) / wanted.astype(np.float64))
        if not np.all(np.abs(sums) < 2**31):
            raise b.refuse(f"its bias '{name}' does not fit 32 bits in steps of the sums")
        data = sums.astype(np.int32)
    return b.constant(name, data, wanted, np.zeros(count), 0)


def within_32_bits(b: Builder, given: Steps, made: Steps | None, operands: tuple[int, int], axis: int) -> None:
    """Make channels whose sums may leave 32 bits constant where their output is; `axis`: of the channels.

    Trained networks have dead channels with biases near 2^31. NotExportable: an output that is not constant.
    """
    filters = b.tensors[operands[0]]
    if filters.data is None or made is None:
        return
    weights = np.moveaxis(filters.data, axis, 0).reshape(filters.shape[axis], -1).astype(np.int64)
    stored = b.tensors[operands[1]].data if operands[1] >= 0 else None
    bias = np.zeros(len(weights), np.int64) if stored is None else stored.astype(np.int64)
    most, least = 127 - given.zero_point, -128 - given.zero_point
    high = bias + np.maximum(weights * most, weights * least).sum(1)
    low = bias + np.minimum(weights * most, weights * least).sum(1)
    wild = (low < -(2**31)) | (high >= 2**31)
    if not wild.any():
        return
    factor = (np.float32(given.scale) * filters.scales / np.float32(made.scale)).astype(np.float32)
    ends = [np.rint(end.astype(np.float32) * factor).clip(-512, 512) for end in (low, high)]
    same = np.clip(ends[0] + made.zero_point, -128, 127) == np.clip(ends[1] + made.zero_point, -128, 127)
    if stored is None or np.any(wild & ~same):
        raise b.refuse("its sums may leave 32 bits; quantize it with other ranges")
    kept = np.moveaxis(filters.data.copy(), axis, 0)
    kept[wild] = 0
    b.tensors[operands[0]] = replace(filters, data=np.ascontiguousarray(np.moveaxis(kept, 0, axis)))


def pair(b: Builder, attributes: dict, name: str, otherwise: int = 1) -> tuple[int, int]:
    """Two numbers, for rows and columns. UserError: something else is there."""
    found = [int(number) for number in attributes.get(name, [otherwise, otherwise])]
    if len(found) != 2 or min(found) < min(otherwise, 1) or max(found) > 1 << 16:
        raise b.damaged(f"'{b.title}' has {name} {found}")
    return found[0], found[1]


def window(
    b: Builder,
    attributes: dict,
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """(pads: top, left, bottom, right; rows and columns of the output) of a convolution or a pool."""
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    automatic = attributes.get("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        made = [-(-n // s) for n, s in zip(size, stride, strict=True)]
        total = [max((m - 1) * s + r - n, 0) for m, s, r, n in zip(made, stride, reach, size, strict=True)]
        head = [t // 2 if automatic == "SAME_UPPER" else t - t // 2 for t in total]
        pads = (head[0], head[1], total[0] - head[0], total[1] - head[1])
        return pads, (made[0], made[1])
    pads = pads_of(b, attributes) if automatic == "NOTSET" else (0, 0, 0, 0)
    made = []
    for axis in (0, 1):
        room = size[axis] + pads[axis] + pads[axis + 2] - reach[axis]
        whole = -(-room // stride[axis]) if attributes.get("ceil_mode", 0) else room // stride[axis]
        if attributes.get("ceil_mode", 0) and whole * stride[axis] >= size[axis] + pads[axis]:
            whole -= 1  # a window that would begin behind the image
        made.append(whole + 1)
    behind = [
        max(pads[axis + 2], (made[axis] - 1) * stride[axis] + reach[axis] - size[axis] - pads[axis]) for axis in (0, 1)
    ]
    return (pads[0], pads[1], behind[0], behind[1]), (made[0], made[1])


def pads_of(b: Builder, attributes: dict) -> tuple[int, int, int, int]:
    found = [int(number) for number in attributes.get("pads", [0, 0, 0, 0])]
    if len(found) != 4 or min(found) < 0 or max(found) > 1 << 16:
        raise b.damaged(f"'{b.title}' has pads {found}")
    return found[0], found[1], found[2], found[3]


def _transposed_pads(
    b: Builder, attributes: dict, reach: Sequence[int], stride: Sequence[int], size: Sequence[int]
) -> tuple[tuple[int, int, int, int], tuple[int, int]]:
    """(pads, rows and columns of the output) of a transposed convolution; `reach`: rows and columns without pads."""
    automatic = attributes.get("auto_pad", "NOTSET")
    given = attributes.get("output_shape")
    if given is None and automatic in ("NOTSET", "VALID"):
        pads = pads_of(b, attributes) if automatic == "NOTSET" else (0, 0, 0, 0)
        return pads, (reach[0] - pads[0] - pads[2], reach[1] - pads[1] - pads[3])
    made = [int(n) for n in given][-2:] if given is not None else [n * s for n, s in zip(size, stride, strict=True)]
    if len(made) != 2:
        raise b.damaged(f"'{b.title}' has output_shape {made}")
    total = [r - m for r, m in zip(reach, made, strict=True)]
    if min(total) < 0:
        raise b.refuse(f"an output of {made}, more than its input reaches")
    # ONNX Runtime: the larger half goes behind for SAME_UPPER and in front otherwise.
    head = [t // 2 if automatic == "SAME_UPPER" else t - t // 2 for t in total]
    return (head[0], head[1], total[0] - head[0], total[1] - head[1]), (made[0], made[1])


def _check_axis(b: Builder, weights: Integers, axis: int) -> None:
    if len(weights.scales) > 1 and (
        weights.axis != axis or len(weights.scales) != weights.values.shape[axis] or weights.scales.ndim != 1
    ):
        raise b.refuse(f"its weights have {len(weights.scales)} scales along axis {weights.axis}, not one an output")


def _check_kernel(b: Builder, attributes: dict, kernel: Sequence[int]) -> None:
    named = [int(number) for number in attributes.get("kernel_shape", kernel)]
    if named != list(kernel) or min(kernel) < 1:
        raise b.damaged(f"'{b.title}' has kernel_shape {named} and weights of {list(kernel)}")
