"""SOFTMAX of int8 along the last axis, as LiteRT computes it."""

from __future__ import annotations

import math

import numpy as np

from stm32pose.codegen.lower.onnx import lower_softmax_axis
from stm32pose.codegen.lower.rounding import quantize_multiplier
from stm32pose.codegen.network import Network, Operator, refuse
from stm32pose.codegen.program import Array, Call, Field
from stm32pose.codegen.targets import Target

DEEPEST = 4095
"""Elements of a row: the sum of as many ones still fits into LiteRT's accumulator."""

# exp(-1/4), exp(-1/2), exp(-1), ... exp(-16) in units of 2^-31, by the bit of the exponent they stand for.
POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)


def _high(a: int, b: int) -> int:
    return (a * b + (1 << 30)) >> 31


def _halved(value: int, bits: int) -> int:
    """value / 2^bits, halves away from zero."""
    mask = (1 << bits) - 1
    return (value >> bits) + int((value & mask) > (mask >> 1) + (value < 0))


def exponential(value: int) -> int:
    """exp of a value <= 0 in units of 2^-26, in units of 2^-31, as LiteRT's fixed-point arithmetic rounds it.

    The fraction below a quarter by a polynomial of fourth degree around -1/8, the quarters by a product of powers.
    """
    if value == 0:
        return 2**31 - 1
    quarter = 1 << 24
    fraction = (value & (quarter - 1)) - quarter
    x = (fraction << 5) + (1 << 28)
    x2 = _high(x, x)
    x3 = _high(x2, x)
    x4 = _high(x2, x2)
    tail = _halved(_high(_halved(x4, 2) + x3, 715827883) + x2, 1)
    at_eighth = 1895147668
    result = at_eighth + _high(at_eighth, x + tail)
    rest = fraction - value
    for bit, power in enumerate(POWERS):
        if rest >> (24 + bit) & 1:
            result = _high(result, power)
    return result


def exponentials(beta: float, scale: float) -> np.ndarray:
    """[256] int32: exp(-beta * scale * d) of d = 0 ... 255 in units of 2^-31; 0 where LiteRT leaves it out.

    Raises:
        ValueError: a scale that LiteRT's arithmetic cannot hold.
    """
    factor = min(float(np.float32(beta)) * float(np.float32(scale)) * (1 << 26), 2.0**31 - 1.0)
    if factor <= 1.0:
        raise ValueError(f"its input's scale {scale} times beta {beta} is too small")
    multiplier, left = quantize_multiplier(factor)
    furthest = math.floor(31.0 * (1 << 26) / (1 << left))
    return np.array([exponential(_high(-d << left, multiplier)) if d <= furthest else 0 for d in range(256)], np.int32)


def lower_softmax(operator: Operator, network: Network, target: Target) -> list[Call]:
    if network.rounding == "onnx":
        return lower_softmax_axis(operator, network, target)
    given, made = network.tensors[operator.inputs[0]], network.tensors[operator.outputs[0]]
    if given.dtype != "int8" or made.dtype != "int8" or len(given.scales) != 1 or len(made.scales) != 1:
        raise refuse(network, operator, f"{given.dtype} to {made.dtype}; int8 with one scale is known")
    if not given.shape or given.shape != made.shape:
        raise refuse(network, operator, f"shapes {list(given.shape)} and {list(made.shape)}")
    rank, depth = len(given.shape), given.shape[-1]
    if operator.options.get("axis", -1) % rank != rank - 1:
        raise refuse(network, operator, f"axis {operator.options['axis']}; the last one is known")
    if not 1 <= depth <= DEEPEST:
        raise refuse(network, operator, f"{depth} values in a row; 1 to {DEEPEST} are known")
    beta = float(operator.options.get("beta", 1.0))
    fields: dict[str, Field] = {"rows": given.elements // depth, "depth": depth}
    if made.scale != 1 / 256 or made.zero_point != -128:
        raise refuse(network, operator, f"output scale {made.scale}, zero point {made.zero_point}; not 1/256, -128")
    try:
        fields["exponentials"] = Array(exponentials(beta, given.scale), "table")
    except ValueError as error:
        raise refuse(network, operator, str(error)) from error
    return [
        Call(
            function="softmax_int8",
            source="kernels_softmax",
            struct="softmax_params",
            fields=fields,
            inputs=operator.inputs[:1],
            outputs=operator.outputs,
            kind=operator.kind,
            name=operator.name,
            leads=(0,),
        )
    ]
