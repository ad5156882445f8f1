"""Convolutions: CONV_2D, DEPTHWISE_CONV_2D, TRANSPOSE_CONV; in portable C where no faster kernel takes them."""

from __future__ import annotations

import numpy as np

from stm32pose.codegen.lower.dsp_conv import conv_dsp_call
from stm32pose.codegen.lower.dsp_depthwise import depthwise_dsp_call
from stm32pose.codegen.lower.mve_conv import conv_mve_call, depthwise_mve_call
from stm32pose.codegen.lower.weighted import Weighted, weighted
from stm32pose.codegen.network import Network, Operator, refuse
from stm32pose.codegen.overlap import lead, window_needs, window_starts
from stm32pose.codegen.program import Array, Call, Field
from stm32pose.codegen.targets import Target


def lower_conv(op: Operator, network: Network, target: Target) -> list[Call]:
    """CONV_2D, grouped ones too."""
    layer = weighted(op, network, channel_axis=0)
    per_group = layer.weights.shape[3]
    if per_group < 1 or layer.input.shape[3] % per_group or layer.channels % (layer.input.shape[3] // per_group):
        raise refuse(network, op, f"weights {list(layer.weights.shape)} for {layer.input.shape[3]} input channels")
    _check_shapes(op, network, layer)
    macs = layer.output.elements * int(layer.weights[0].size)
    faster = {"dsp": conv_dsp_call, "mve": conv_mve_call}.get(target.simd)
    return [(faster and faster(op, layer, macs)) or conv_call(op, layer, macs)]


def conv_call(op: Operator, layer: Weighted, macs: int) -> Call:
    """The portable kernel, which takes every shape."""
    return Call(
        function="conv",
        source="kernels_conv",
        struct="conv_params",
        fields={
            **window_fields(op, layer),
            "output_channels": layer.channels,
            "group_channels": int(layer.weights.shape[3]),
            "input_zero": layer.input.zero_point,
            "weights": Array(layer.weights.reshape(-1)),
            "bias": Array(layer.bias, "bias"),
            **layer.common_fields(),
        },
        inputs=op.inputs[:1],
        outputs=op.outputs,
        kind=op.kind,
        name=op.name,
        macs=macs,
        leads=(pixel_lead(op, layer),),
    )


def lower_depthwise(op: Operator, network: Network, target: Target) -> list[Call]:
    """DEPTHWISE_CONV_2D with any number of output channels for each input channel."""
    layer = weighted(op, network, channel_axis=3)
    channels = layer.input.shape[3]
    if layer.weights.shape[0] != 1 or channels < 1 or layer.channels % channels:
        raise refuse(network, op, f"weights {list(layer.weights.shape)} for {channels} input channels")
    _check_shapes(op, network, layer)
    macs = layer.output.elements * layer.weights.shape[1] * layer.weights.shape[2]
    faster = {"dsp": depthwise_dsp_call, "mve": depthwise_mve_call}.get(target.simd)
    return [(faster and faster(op, layer, macs)) or depthwise_call(op, layer, macs)]


def depthwise_call(op: Operator, layer: Weighted, macs: int) -> Call:
    """The portable kernel, which takes every shape."""
    return Call(
        function="depthwise_conv",
        source="kernels_depthwise",
        struct="depthwise_params",
        fields={
            **window_fields(op, layer),
            "multiplier_channels": layer.channels // layer.input.shape[3],
            "input_zero": layer.input.zero_point,
            "weights": Array(layer.weights.reshape(-1)),
            "bias": Array(layer.bias, "bias"),
            **layer.common_fields(),
        },
        inputs=op.inputs[:1],
        outputs=op.outputs,
        kind=op.kind,
        name=op.name,
        macs=macs,
        leads=(pixel_lead(op, layer),),
    )


def lower_transpose_conv(op: Operator, network: Network, target: Target) -> list[Call]:
    """TRANSPOSE_CONV, gathered by output pixel, so that it needs no memory for sums."""
    layer = weighted(op, network, channel_axis=0)
    if layer.weights.shape[3] != layer.input.shape[3]:
        raise refuse(network, op, f"weights {list(layer.weights.shape)} for {layer.input.shape[3]} input channels")
    _check_batch(op, network, layer)
    return [
        Call(
            function="transpose_conv",
            source="kernels_conv",
            struct="conv_params",
            fields={
                **window_fields(op, layer),
                "output_channels": layer.channels,
                "group_channels": int(layer.weights.shape[3]),
                "input_zero": layer.input.zero_point,
                "weights": Array(layer.weights.reshape(-1)),
                "bias": Array(layer.bias, "bias"),
                **layer.common_fields(),
            },
            inputs=op.inputs[:1],
            outputs=op.outputs,
            kind=op.kind,
            name=op.name,
            macs=layer.input.elements * int(layer.weights[..., 0].size),
            leads=(None,),
        )
    ]


def window_fields(op: Operator, layer: Weighted) -> dict[str, Field]:
    """Members that say where the windows lie."""
    _, height, width, channels = layer.input.shape
    kernel, stride, dilation, pads = (op.options[name] for name in ("kernel", "stride", "dilation", "pads"))
    return {
        "input_height": height,
        "input_width": width,
        "input_channels": channels,
        "output_height": layer.output.shape[1],
        "output_width": layer.output.shape[2],
        "kernel_height": kernel[0],
        "kernel_width": kernel[1],
        "stride_height": stride[0],
        "stride_width": stride[1],
        "dilation_height": dilation[0],
        "dilation_width": dilation[1],
        "pad_top": pads[0],
        "pad_left": pads[1],
    }


def pixel_lead(op: Operator, layer: Weighted) -> int:
    """`Call.leads` of a kernel that finishes one output pixel, all channels, before it reads for the next."""
    _, height, width, channels = layer.input.shape
    _, rows, columns, made = layer.output.shape
    (down, right), pads = op.options["stride"], op.options["pads"]
    needed = window_needs(
        window_starts(rows, stride=down, pad=pads[0], limit=height),
        window_starts(columns, stride=right, pad=pads[1], limit=width),
        row_bytes=width * channels,
        pixel_bytes=channels,
    )
    return lead(np.arange(1, len(needed) + 1) * made, needed)


def _check_shapes(op: Operator, network: Network, layer: Weighted) -> None:
    """NotExportable: the output's shape is not what stride, padding and kernel make of the input's."""
    _check_batch(op, network, layer)
    for axis in range(2):
        size, out = layer.input.shape[1 + axis], layer.output.shape[1 + axis]
        kernel, stride = op.options["kernel"][axis], op.options["stride"][axis]
        reach = (kernel - 1) * op.options["dilation"][axis] + 1
        padded = size + op.options["pads"][axis] + op.options["pads"][2 + axis]
        if out < 1 or (out - 1) * stride + reach > padded:
            raise refuse(network, op, f"{list(layer.input.shape)} to {list(layer.output.shape)} with kernel {kernel}")


def _check_batch(op: Operator, network: Network, layer: Weighted) -> None:
    if layer.input.shape[0] != 1 or layer.output.shape[0] != 1 or layer.output.shape[3] != layer.channels:
        raise refuse(network, op, f"{list(layer.input.shape)} to {list(layer.output.shape)}: one image at a time")
