"""Scales as the runtimes apply them: fixed-point multipliers of LiteRT, float32 factors of ONNX Runtime."""

from __future__ import annotations

import math

import numpy as np

from stm32pose.codegen.network import Network, Operator, Tensor, refuse

STEPS = 2**31


def quantize_multiplier(value: float) -> tuple[int, int]:
    """(multiplier, shift): value = multiplier / 2^31 * 2^shift, multiplier in [2^30, 2^31), or (0, 0).

    As LiteRT's QuantizeMultiplier; a value too small for a shift of -31 counts as 0.
    """
    if value == 0.0:
        return 0, 0
    fraction, shift = math.frexp(value)
    multiplier = math.floor(fraction * STEPS + 0.5) if fraction > 0 else math.ceil(fraction * STEPS - 0.5)
    if multiplier == STEPS:
        multiplier //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        return STEPS - 1, 30
    return multiplier, shift


def scale_by(values: np.ndarray, multiplier: int | np.ndarray, shift: int | np.ndarray) -> np.ndarray:
    """int64 -> int64: the C function of this name, for values whose left shift stays within 32 bits."""
    left, right = np.maximum(shift, 0), np.maximum(-np.asarray(shift), 0)
    high = ((np.asarray(values, np.int64) << left) * np.asarray(multiplier, np.int64) + (1 << 30)) >> 31
    mask = (np.int64(1) << right) - 1
    return (high >> right) + ((high & mask) > (mask >> 1) + (high < 0))


def scale_once(values: np.ndarray, multiplier: int | np.ndarray, shift: int | np.ndarray) -> np.ndarray:
    """int64 -> int64: the C function of this name."""
    total = 31 - np.asarray(shift, np.int64)
    return (np.asarray(values, np.int64) * np.asarray(multiplier, np.int64) + (np.int64(1) << (total - 1))) >> total


def activation_range(activation: str, output: Tensor, network: Network, operator: Operator) -> tuple[int, int]:
    """(lowest, highest) stored value that a fused activation lets through. NotExportable: another activation."""
    limits = np.iinfo(output.dtype)
    low, high = int(limits.min), int(limits.max)

    def step(value: float) -> int:
        quotient = np.float32(value) / np.float32(output.scale)
        return output.zero_point + int(np.trunc(quotient + np.copysign(np.float32(0.5), quotient)))

    if activation == "NONE":
        return low, high
    if activation == "RELU":
        return max(low, step(0.0)), high
    if activation == "RELU6":
        return max(low, step(0.0)), min(high, step(6.0))
    if activation == "RELU_N1_TO_1":
        return max(low, step(-1.0)), min(high, step(1.0))
    raise refuse(network, operator, f"fused activation {activation}; known: NONE, RELU, RELU6, RELU_N1_TO_1")
