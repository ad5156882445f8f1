"""From operators to kernel calls: one table of functions by kind, one module a family."""

from __future__ import annotations

from collections.abc import Callable

from stm32pose.codegen.lower.conv import lower_conv, lower_depthwise, lower_transpose_conv
from stm32pose.codegen.lower.fully_connected import lower_fully_connected
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
