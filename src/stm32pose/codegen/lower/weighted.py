"""What convolutions and fully connected layers have in common: weights, biases, and the scales of their sums."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stm32pose.codegen.lower.rounding import activation_range, quantize_multiplier, scale_by, scale_once
from stm32pose.codegen.network import Network, Operator, Tensor, refuse
from stm32pose.codegen.program import Array, Field


@dataclass(frozen=True, eq=False)
class Weighted:
    """A weighted operator with C output channels, ready to be packed.

    Attributes:
        input, output: the activations.
        weights: int8 as the file has them; `channel_axis` is the axis of the output channels.
        bias: [C] int32, zeros where the file has none.
        multiplier, shift: [C]; of an ONNX network multiplier is float32 and shift 0.
        low, high: stored values that the fused activation lets through.
        sum_low, sum_high: [C] int64, the least and the greatest sum that can come, bias included.
        once: whether LiteRT rounds the scaled sum once (fully connected layers) or twice (convolutions).
    """

    input: Tensor
    output: Tensor
    weights: np.ndarray
    channel_axis: int
    bias: np.ndarray
    multiplier: np.ndarray
    shift: np.ndarray
    low: int
    high: int
    sum_low: np.ndarray
    sum_high: np.ndarray
    once: bool = False

    @property
    def channels(self) -> int:
        return len(self.bias)

    @property
    def fixed(self) -> bool:
        """Whether sums are scaled in fixed point, as LiteRT does."""
        return self.multiplier.dtype != np.float32

    def folded_bias(self) -> np.ndarray:
        """[C] int64: the bias for kernels that multiply stored inputs, with the input's zero point taken out."""
        axes = tuple(axis for axis in range(self.weights.ndim) if axis != self.channel_axis)
        return self.bias.astype(np.int64) - self.input.zero_point * self.weights.astype(np.int64).sum(axes)

    def common_fields(self) -> dict[str, Field]:
        """Members that the parameters of every weighted kernel have."""
        return {
            "output_zero": self.output.zero_point,
            "activation_min": self.low,
            "activation_max": self.high,
            "multiplier": Array(self.multiplier, "quantization"),
            "shift": Array(self.shift.astype(np.int8), "quantization"),
        }


def weighted(op: Operator, network: Network, *, channel_axis: int) -> Weighted:
    """The parts of a weighted operator, with constant channels made harmless.

    Raises:
        NotExportable: types or scales that no kernel has.
    """
    given, output = network.tensors[op.inputs[0]], network.tensors[op.outputs[0]]
    filters = network.tensors[op.inputs[1]]
    if given.dtype != "int8" or output.dtype != "int8" or not given.quantized or not output.quantized:
        raise refuse(network, op, f"{given.dtype} to {output.dtype}; a kernel takes int8 and makes int8 with a scale")
    if filters.data is None:
        raise refuse(network, op, "its weights are not constant")
    if filters.dtype != "int8" or not filters.quantized:
        raise refuse(network, op, f"its weights are {filters.dtype}; they must be int8 with scales (quantize it again)")
    if np.any(filters.zero_points):
        raise refuse(network, op, "its weights have a zero point; int8 weights are symmetric (quantize it again)")
    count = filters.shape[channel_axis]
    if len(filters.scales) > 1 and filters.axis != channel_axis % len(filters.shape):
        raise refuse(network, op, f"its weights have scales along axis {filters.axis}, not one an output channel")
    bias = _bias(op, network, count)
    multiplier, shift = _multipliers(op, network, given, filters, output, count)
    low, high = activation_range(op.options.get("activation", "NONE"), output, network, op)
    weights = filters.data
    spread = weights.astype(np.int64)
    axes = tuple(axis for axis in range(weights.ndim) if axis != channel_axis % weights.ndim)
    most, least = 127 - given.zero_point, -128 - given.zero_point
    sum_high = bias + np.maximum(spread * most, spread * least).sum(axes)
    sum_low = bias + np.minimum(spread * most, spread * least).sum(axes)
    made = Weighted(
        input=given,
        output=output,
        weights=weights,
        channel_axis=channel_axis % weights.ndim,
        bias=bias,
        multiplier=multiplier,
        shift=shift,
        low=low,
        high=high,
        sum_low=sum_low,
        sum_high=sum_high,
        once=op.kind == "FULLY_CONNECTED",
    )
    return _without_dead(made)


def _bias(op: Operator, network: Network, count: int) -> np.ndarray:
    if len(op.inputs) < 3 or op.inputs[2] < 0:
        return np.zeros(count, np.int32)
    bias = network.tensors[op.inputs[2]]
    if bias.data is None or bias.dtype != "int32" or bias.elements != count:
        raise refuse(network, op, f"its bias is {bias.dtype} {list(bias.shape)}; it must be {count} constant int32")
    return bias.data.reshape(-1)


def _multipliers(
    op: Operator, network: Network, given: Tensor, filters: Tensor, output: Tensor, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """[C] factors from sums to steps of the output."""
    scales = np.broadcast_to(filters.scales, (count,))
    if network.rounding == "onnx":
        factors = np.float32(given.scale) * scales.astype(np.float32) / np.float32(output.scale)
        return factors.astype(np.float32), np.zeros(count, np.int8)
    if op.kind == "FULLY_CONNECTED" and len(filters.scales) == 1:
        # LiteRT multiplies these two in float32 and all others in float64.
        product = float(np.float32(given.scale) * filters.scales[0])
        pairs = [quantize_multiplier(product / output.scale)] * count
    else:
        pairs = [quantize_multiplier(given.scale * float(scale) / output.scale) for scale in scales]
    return np.array([pair[0] for pair in pairs], np.int32), np.array([pair[1] for pair in pairs], np.int8)


def _without_dead(layer: Weighted) -> Weighted:
    """Channels whose output is one value whatever comes in get weights of 0 and a small bias with that output.

    Trained networks have such channels with biases near 2^30; kernels that trust small sums could not take them.
    """
    if not layer.fixed:
        return layer
    limit = np.int64(1) << (30 - np.maximum(layer.shift, 0).astype(np.int64))
    wild = (np.abs(layer.sum_low) >= limit) | (np.abs(layer.sum_high) >= limit)
    if not wild.any():
        return layer
    weights, bias = layer.weights.copy(), layer.bias.astype(np.int64).copy()
    for channel in map(int, np.flatnonzero(wild)):
        low, high = (_stored(layer, channel, int(bound[channel])) for bound in (layer.sum_low, layer.sum_high))
        if low is None or low != high:
            continue
        found = _small_sum(layer, channel, low, int(limit[channel]))
        if found is not None:
            np.moveaxis(weights, layer.channel_axis, 0)[channel] = 0
            bias[channel] = found
    dead = wild & (bias != layer.bias)
    sum_low, sum_high = (np.where(dead, bias, bound) for bound in (layer.sum_low, layer.sum_high))
    return replace(layer, weights=weights, bias=bias.astype(np.int32), sum_low=sum_low, sum_high=sum_high)


def _stored(layer: Weighted, channel: int, total: int) -> int | None:
    """The stored output of a sum; None where 32 bits do not hold it."""
    shift = int(layer.shift[channel])
    if not -(2**31) <= total << max(shift, 0) < 2**31:
        return None
    scale = scale_once if layer.once else scale_by
    value = int(scale(np.array(total, np.int64), int(layer.multiplier[channel]), shift)) + layer.output.zero_point
    return min(max(value, layer.low), layer.high)


def _small_sum(layer: Weighted, channel: int, wanted: int, limit: int) -> int | None:
    """A sum well below `limit` whose stored output is `wanted`."""
    for exponent in range(30):
        for total in (0, 1 << exponent, -(1 << exponent)):
            if abs(total) < limit // 2 and _stored(layer, channel, total) == wanted:
                return total
    return None
