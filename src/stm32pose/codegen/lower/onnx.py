"""Operators that only ONNX networks have: functions a channel, float results from tables, softmax along any axis."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from stm32pose.codegen.network import Network, Operator, refuse
from stm32pose.codegen.overlap import lead
from stm32pose.codegen.program import Array, Call, Field
from stm32pose.codegen.targets import Target


def lower_channels(op: Operator, network: Network, target: Target) -> list[Call]:
    """CHANNEL_LINES (`slopes`: below, above, start) and CHANNEL_TABLE (`values` [C, 256]), a function a channel."""
    given, made = network.tensors[op.inputs[0]], network.tensors[op.outputs[0]]
    channels = given.shape[-1]
    if given.dtype != "int8" or made.dtype != "int8" or given.shape != made.shape:
        raise refuse(network, op, f"{given.dtype} {list(given.shape)} to {made.dtype} {list(made.shape)}")
    fields: dict[str, Field] = {"pixels": given.elements // channels, "channels": channels}
    if op.kind == "CHANNEL_LINES":
        below, above, start = (np.asarray(item, np.float32) for item in op.options["slopes"])
        fields |= {"input_zero": given.zero_point, "output_zero": made.zero_point}
        fields |= {name: Array(item) for name, item in (("below", below), ("above", above), ("start", start))}
        return [_call("channel_lines", op, fields, 0)]
    fields["table"] = Array(np.asarray(op.options["values"], np.int8).reshape(-1), "table")
    return [_call("channel_table", op, fields, 0)]


def lower_float_table(op: Operator, network: Network, target: Target) -> list[Call]:
    """DEQUANTIZE with `values` [256]: any function of stored values, as float32."""
    given, made = network.tensors[op.inputs[0]], network.tensors[op.outputs[0]]
    if given.dtype != "int8" or made.dtype != "float32" or given.elements != made.elements:
        raise refuse(network, op, f"{given.dtype} {list(given.shape)} to {made.dtype} {list(made.shape)}")
    values = Array(np.asarray(op.options["values"], np.float32), "table")
    place = np.arange(given.elements)
    return [_call("float_table", op, {"elements": given.elements, "table": values}, lead(4 * place + 4, place + 1))]


def lower_softmax_axis(op: Operator, network: Network, target: Target) -> list[Call]:
    """SOFTMAX along `axis`, to int8 or float32."""
    given, made = network.tensors[op.inputs[0]], network.tensors[op.outputs[0]]
    whole = made.dtype == "int8" and len(made.scales) == 1
    if given.dtype != "int8" or len(given.scales) != 1 or not (whole or made.dtype == "float32"):
        raise refuse(network, op, f"{given.dtype} to {made.dtype}; int8 with one scale to int8 or float32 is known")
    if not given.shape or given.shape != made.shape:
        raise refuse(network, op, f"shapes {list(given.shape)} and {list(made.shape)}")
    axis = op.options.get("axis", -1) % len(given.shape)
    inner = prod(given.shape[axis + 1 :])
    distances = -np.arange(256, dtype=np.float32) * np.float32(given.scale) * np.float32(op.options.get("beta", 1.0))
    fields: dict[str, Field] = {
        "outer": prod(given.shape[:axis]),
        "depth": given.shape[axis],
        "inner": inner,
        "powers": Array(np.exp(distances.astype(np.float64)).astype(np.float32), "table"),
        "scale": made.scale if whole else 1.0,
        "zero": made.zero_point if whole else 0,
    }
    if not whole:
        return [_call("softmax_axis_to_float", op, fields, None)]
    return [_call("softmax_axis", op, fields, 0 if inner == 1 else None)]


def _call(function: str, op: Operator, fields: Mapping[str, Field], distance: int | None) -> Call:
    struct = "softmax_axis_params" if function.startswith("softmax") else f"{function}_params"
    return Call(
        function=function,
        source="kernels_onnx",
        struct=struct,
        fields=fields,
        inputs=op.inputs[:1],
        outputs=op.outputs,
        kind=op.kind,
        name=op.name,
        leads=(distance,),
    )
