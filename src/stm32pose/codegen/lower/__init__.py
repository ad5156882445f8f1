"""From operators to kernel calls: one table of functions by kind, one module a family."""

from __future__ import annotations

from collections.abc import Callable

from stm32pose.codegen.lower.arg import lower_arg
from stm32pose.codegen.lower.conv import lower_conv, lower_depthwise, lower_transpose_conv
from stm32pose.codegen.lower.fully_connected import lower_fully_connected
from stm32pose.codegen.lower.gather import lower_gather, lower_gather_nd
from stm32pose.codegen.lower.movement import (
    lower_blocks,
    lower_copy,
    lower_join,
    lower_slice,
    lower_split,
    lower_tile,
    lower_transpose,
)
from stm32pose.codegen.lower.pad import lower_mirror_pad, lower_pad
from stm32pose.codegen.network import Network, Operator, refuse
from stm32pose.codegen.program import Call, Program
from stm32pose.codegen.rewrite import rewrite
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
}
"""Kind of operator -> what makes its calls."""


def lower(network: Network, target: Target) -> Program:
    """Every operator as calls of kernels for `target`.

    Raises:
        NotExportable: the first operator that has no kernel, by its tensor and layer.
    """
    network, aliases = rewrite(network)
    calls: list[Call] = []
    for operator in network.operators:
        if operator.kind not in LOWERINGS:
            known = did_you_mean(operator.kind, LOWERINGS)
            raise refuse(
                network, operator, f"this operator has no C kernel yet; docs/c_code.md lists those known{known}"
            )
        calls += LOWERINGS[operator.kind](operator, network, target)
    return Program(network, target, tuple(calls), aliases)
