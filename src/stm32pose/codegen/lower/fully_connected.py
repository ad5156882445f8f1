"""FULLY_CONNECTED, in portable C where no faster kernel takes it."""

from __future__ import annotations

import numpy as np

from stm32pose.codegen.lower.dsp_conv import fully_connected_dsp_call
from stm32pose.codegen.lower.mve_conv import fully_connected_mve_call
from stm32pose.codegen.lower.weighted import Weighted, weighted
from stm32pose.codegen.network import Network, Operator, refuse
from stm32pose.codegen.overlap import lead
from stm32pose.codegen.program import Array, Call
from stm32pose.codegen.targets import Target


def lower_fully_connected(op: Operator, network: Network, target: Target) -> list[Call]:
    """Every vector of the input times the weights [O, K]."""
    if len(network.tensors[op.inputs[1]].shape) != 2 or op.options.get("weights_format", 0):
        raise refuse(network, op, "weights of an unknown format; two dimensions are known")
    layer = weighted(op, network, channel_axis=0)
    count = layer.weights.shape[1]
    rows, rest = divmod(layer.input.elements, count) if count else (0, 1)
    if rest or layer.output.elements != rows * layer.channels:
        raise refuse(network, op, f"{list(layer.input.shape)} to {list(layer.output.shape)}, weights {count} wide")
    faster = {"dsp": fully_connected_dsp_call, "mve": fully_connected_mve_call}.get(target.simd)
    return [(faster and faster(op, layer, rows)) or fully_connected_call(op, layer, rows)]


def fully_connected_call(op: Operator, layer: Weighted, rows: int) -> Call:
    """The portable kernel."""
    count = int(layer.weights.shape[1])
    order = np.arange(rows)
    return Call(
        function="fully_connected",
        source="kernels_fully_connected",
        struct="fully_connected_params",
        fields={
            "rows": rows,
            "inputs": count,
            "outputs": layer.channels,
            "input_zero": layer.input.zero_point,
            "weights": Array(layer.weights.reshape(-1)),
            "bias": Array(layer.bias, "bias"),
            **layer.common_fields(),
        },
        inputs=op.inputs[:1],
        outputs=op.outputs,
        kind=op.kind,
        name=op.name,
        macs=rows * int(layer.weights.size),
        leads=(lead((1 + order) * layer.channels, order * count),),
    )
