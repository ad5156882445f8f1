"""From operators to kernel calls: one table of functions by kind, one module a family."""

from __future__ import annotations

from collections.abc import Callable

from stm32pose.codegen.lower.arg import lower_arg
from stm32pose.codegen.lower.conv import lower_conv, lower_depthwise, lower_transpose_conv
from stm32pose.codegen.lower.elementwise import lower_elementwise
from stm32pose.codegen.lower.float_arithmetic import (
    lower_arithmetic,
    lower_cast,
    lower_dequantize,
    lower_quantize,
    lower_unary,
)
from stm32pose.codegen.lower.fully_connected import lower_fully_connected
from stm32pose.codegen.lower.gather import lower_gather, lower_gather_nd
from stm32pose.codegen.lower.join_tables import join_tables
from stm32pose.codegen.lower.movement import (
    lower_blocks,
    lower_copy,
    lower_join,
    lower_slice,
    lower_split,
    lower_tile,
    lower_transpose,
)
from stm32pose.codegen.lower.mve_others import for_mve
from stm32pose.codegen.lower.onnx import lower_channels
from stm32pose.codegen.lower.pad import lower_mirror_pad, lower_pad
from stm32pose.codegen.lower.pool import lower_pool
from stm32pose.codegen.lower.reduce import lower_reduce
from stm32pose.codegen.lower.resize import lower_resize_bilinear, lower_resize_nearest
from stm32pose.codegen.lower.softmax import lower_softmax
from stm32pose.codegen.lower.table import FUNCTIONS, lower_table
from stm32pose.codegen.network import Network, Operator, refuse
from stm32pose.codegen.program import Call, Program
from stm32pose.codegen.rewrite import alias, simplify
from stm32pose.codegen.targets import Target
from stm32pose.errors import did_you_mean

Lowering = Callable[[Operator, Network, Target], list[Call]]

LOWERINGS: dict[str, Lowering] = {
    "CONV_2D": lower_conv,
    "DEPTHWISE_CONV_2D": lower_depthwise,
    "TRANSPOSE_CONV": lower_transpose_conv,
    "FULLY_CONNECTED": lower_fully_connected,
    "RESHAPE": lower_copy,
    "SQUEEZE": lower_copy,
    "EXPAND_DIMS": lower_copy,
    "TRANSPOSE": lower_transpose,
    "STRIDED_SLICE": lower_slice,
    "SLICE": lower_slice,
    "SPLIT": lower_split,
    "SPLIT_V": lower_split,
    "UNPACK": lower_split,
    "CONCATENATION": lower_join,
    "PACK": lower_join,
    "TILE": lower_tile,
    "BROADCAST_TO": lower_tile,
    "SPACE_TO_DEPTH": lower_blocks,
    "DEPTH_TO_SPACE": lower_blocks,
    "PAD": lower_pad,
    "PADV2": lower_pad,
    "MIRROR_PAD": lower_mirror_pad,
    "GATHER": lower_gather,
    "GATHER_ND": lower_gather_nd,
    "ARG_MAX": lower_arg,
    "ARG_MIN": lower_arg,
    "ADD": lower_elementwise,
    "SUB": lower_elementwise,
    "MUL": lower_elementwise,
    "DIV": lower_elementwise,
    "MAXIMUM": lower_elementwise,
    "MINIMUM": lower_elementwise,
    "SQUARED_DIFFERENCE": lower_elementwise,
    "PRELU": lower_elementwise,
    "FLOOR_DIV": lower_arithmetic,
    "FLOOR": lower_unary,
    "QUANTIZE": lower_quantize,
    "DEQUANTIZE": lower_dequantize,
    "CAST": lower_cast,
    "LOOK_UP": lower_table,
    "SOFTMAX": lower_softmax,
    "MAX_POOL_2D": lower_pool,
    "AVERAGE_POOL_2D": lower_pool,
    "MEAN": lower_reduce,
    "SUM": lower_reduce,
    "REDUCE_MAX": lower_reduce,
    "REDUCE_MIN": lower_reduce,
    "RESIZE_BILINEAR": lower_resize_bilinear,
    "RESIZE_NEAREST_NEIGHBOR": lower_resize_nearest,
    "CHANNEL_LINES": lower_channels,
    "CHANNEL_TABLE": lower_channels,
    **{kind: lower_table for kind in FUNCTIONS if kind != "QUANTIZE"},
}
"""Kind of operator -> what makes its calls."""


def lower(network: Network, target: Target) -> Program:
    """Every operator as calls of kernels for `target`.

    Raises:
        NotExportable: the first operator that has no kernel, by its tensor and layer.
    """
    network, aliases = alias(join_tables(simplify(network)))
    calls: list[Call] = []
    for operator in network.operators:
        if operator.kind not in LOWERINGS:
            known = did_you_mean(operator.kind, LOWERINGS)
            raise refuse(
                network, operator, f"this operator has no C kernel yet; docs/c_code.md lists those known{known}"
            )
        made = LOWERINGS[operator.kind](operator, network, target)
        if any(network.tensors[index].constant for call in made for index in call.inputs):
            raise refuse(network, operator, "an operand that is a constant, where a kernel takes an activation")
        calls += [for_mve(call) for call in made] if target.simd == "mve" else made
    return Program(network, target, tuple(calls), aliases)
