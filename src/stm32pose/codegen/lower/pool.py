"""MAX_POOL_2D and AVERAGE_POOL_2D of int8."""

from __future__ import annotations

import numpy as np

from stm32pose.codegen.lower.rounding import activation_range
from stm32pose.codegen.lower.table import quantized, real, stored_values
from stm32pose.codegen.network import Network, Operator, refuse
from stm32pose.codegen.overlap import lead
from stm32pose.codegen.program import Array, Call, Field
from stm32pose.codegen.targets import Target

GROUPS = {"MAX_POOL_2D": 8, "AVERAGE_POOL_2D": 4}
"""Channels that the kernel makes at a time; those that remain one by one."""


def lower_pool(operator: Operator, network: Network, target: Target) -> list[Call]:
    """Options beside those of convolutions: `count_include_pad` (ONNX), true where padding counts in an average."""
    given, made = network.tensors[operator.inputs[0]], network.tensors[operator.outputs[0]]
    if given.dtype != "int8" or made.dtype != "int8" or len(given.scales) != 1 or len(made.scales) != 1:
        raise refuse(network, operator, f"{given.dtype} to {made.dtype}; int8 with one scale is known")
    if len(given.shape) != 4 or len(made.shape) != 4 or given.shape[0] != 1 or given.shape[3] != made.shape[3]:
        raise refuse(network, operator, f"shapes {list(given.shape)} and {list(made.shape)}")
    kernel, stride, pads = (operator.options[name] for name in ("kernel", "stride", "pads"))
    if tuple(operator.options.get("dilation", (1, 1))) != (1, 1):
        raise refuse(network, operator, "a dilated window")
    places = [window_starts(made.shape[1 + i], stride[i], pads[i], kernel[i], given.shape[1 + i]) for i in range(2)]
    if any(np.any(counts < 1) for _, counts in places):
        raise refuse(network, operator, "a window that lies outside of its input")
    low, high = activation_range(operator.options.get("activation", "NONE"), made, network, operator)
    fields: dict[str, Field] = {
        "input_height": given.shape[1],
        "input_width": given.shape[2],
        "channels": given.shape[3],
        "output_height": made.shape[1],
        "output_width": made.shape[2],
        "kernel_height": kernel[0],
        "kernel_width": kernel[1],
        "stride_height": stride[0],
        "stride_width": stride[1],
        "pad_top": pads[0],
        "pad_left": pads[1],
        "low": low,
        "high": high,
    }
    same = given.scale == made.scale and given.zero_point == made.zero_point
    if network.rounding == "tflite" and not same:
        raise refuse(network, operator, "input and output of different scales")
    function = "max_pool_int8" if operator.kind == "MAX_POOL_2D" else "average_pool_int8"
    if network.rounding == "onnx" and operator.kind == "AVERAGE_POOL_2D":
        function = "average_pool_float"
        fields["count"] = kernel[0] * kernel[1] if operator.options.get("count_include_pad") else 0
        fields |= {"input_zero": given.zero_point, "output_zero": made.zero_point}
        fields |= {"input_scale": given.scale, "output_scale": made.scale}
    elif not same:
        fields["table"] = Array(quantized(real(stored_values("int8"), given), made), "table")
    return [
        Call(
            function=function,
            source="kernels_pool",
            struct="pool_params",
            fields=fields,
            inputs=operator.inputs[:1],
            outputs=operator.outputs,
            kind=operator.kind,
            name=operator.name,
            leads=(pool_lead(places[0][0], places[1][0], given.shape, GROUPS[operator.kind]),),
        )
    ]


def window_starts(out: int, stride: int, before: int, kernel: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(first row or column inside the input, number of them inside) of each output's window."""
    starts = np.arange(out) * stride - before
    first = np.maximum(starts, 0)
    return first, np.minimum(starts + kernel, size) - first


def pool_lead(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, ...], group: int) -> int:
    """`overlap.lead` of a kernel that makes the output pixel by pixel, `group` channels at a time, from windows that
    begin at `rows` and `columns`."""
    width, channels = shape[2], shape[3]
    whole = channels // group * group
    ends = np.array([*range(group, whole + 1, group), *range(whole + 1, channels + 1)])
    pixels = (rows[:, None] * width + columns[None, :]).reshape(-1) * channels
    later = np.minimum.accumulate(np.append(pixels, shape[1] * width * channels)[::-1])[::-1][1:]
    written = np.arange(len(pixels))[:, None] * channels + ends[None, :]
    needed = np.minimum(pixels[:, None] + ends[None, :], later[:, None])
    needed[:, -1] = later
    return lead(written, needed)
