"""Convolutions: CONV_2D, DEPTHWISE_CONV_2D, TRANSPOSE_CONV; in portable C where no faster kernel takes them."""

from __future__ import annotations

import numpy as np

from stm32pose.codegen.lower.dsp_conv import conv_dsp_call
from stm32pose.codegen.lower.dsp_depthwise import depthwise_dsp_call
from stm32pose.codegen.lower.mve_conv import conv_mve_call, depthwise_mve_call
from stm32pose.codegen.lower.weighted import Weighted, weighted
from stm32pose.codegen.lower.window import needs_of_pixels, window_fields
from stm32pose.codegen.network import Network, Operator, refuse
from stm32pose.codegen.overlap import lead
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
    """CONV_2D in portable C."""
    return _portable(op, layer, macs, "conv", "conv", _groups(layer))


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
    """DEPTHWISE_CONV_2D in portable C."""
    more: dict[str, Field] = {"multiplier_channels": layer.channels // layer.input.shape[3]}
    return _portable(op, layer, macs, "depthwise_conv", "depthwise", more)


def lower_transpose_conv(op: Operator, network: Network, target: Target) -> list[Call]:
    """TRANSPOSE_CONV, gathered by output pixel, so that it needs no memory for sums."""
    layer = weighted(op, network, channel_axis=0)
    if layer.weights.shape[3] != layer.input.shape[3]:
        raise refuse(network, op, f"weights {list(layer.weights.shape)} for {layer.input.shape[3]} input channels")
    _check_batch(op, network, layer)
    macs = layer.input.elements * int(layer.weights[..., 0].size)
    return [_portable(op, layer, macs, "transpose_conv", "conv", _groups(layer), apart=True)]


def _groups(layer: Weighted) -> dict[str, Field]:
    return {"output_channels": layer.channels, "group_channels": int(layer.weights.shape[3])}


def _portable(
    op: Operator,
    layer: Weighted,
    macs: int,
    function: str,
    family: str,
    more: dict[str, Field],
    *,
    apart: bool = False,
) -> Call:
    """A kernel in portable C: it takes every shape, and finishes one output pixel before it reads for the next.

    Args:
        family: of kernels_FAMILY.c and FAMILY_params.
        more: members beside those of the windows and the scales.
        apart: the output may not overlap the input.
    """
    return Call(
        function=function,
        source=f"kernels_{family}",
        struct=f"{family}_params",
        fields={
            **window_fields(op, layer),
            **more,
            "weights": Array(layer.weights.reshape(-1)),
            "bias": Array(layer.bias, "bias"),
            **layer.common_fields(),
        },
        inputs=op.inputs[:1],
        outputs=op.outputs,
        kind=op.kind,
        name=op.name,
        macs=macs,
        leads=(None if apart else _pixel_lead(op, layer),),
    )


def _pixel_lead(op: Operator, layer: Weighted) -> int:
    needed = needs_of_pixels(op, layer)
    return lead(np.arange(1, len(needed) + 1) * layer.output.shape[3], needed)


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
