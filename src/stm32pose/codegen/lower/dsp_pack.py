"""Weights, biases and scales in the order in which the DSP kernels read them (c/kernels_dsp.h)."""

from __future__ import annotations

import numpy as np

from stm32pose.codegen.lower.weighted import Weighted

RELU, PLAIN, C_CODE, ONCE = range(4)
"""DSP_SCALE_... of kernels_dsp.h."""


def scaling_of(layer: Weighted) -> int:
    """How the kernels turn sums into outputs.

    The two quick ways need divisions by 4 or more, and a clamp to -128..127 alone. With a zero point of -128 negative
    results are cut off, so that nobody sees how their halves are rounded.
    """
    if layer.once:
        return ONCE
    used = layer.shift[layer.multiplier != 0]
    if not layer.fixed or (used > -2).any() or (layer.low, layer.high) != (-128, 127):
        return C_CODE
    return RELU if layer.output.zero_point == -128 else PLAIN


def scale_words(layer: Weighted, scaling: int) -> np.ndarray:
    """[C, 2] uint32: the two numbers that follow a channel's weights."""
    if scaling in (C_CODE, ONCE):
        first = layer.multiplier.astype(np.int32 if layer.fixed else np.float32).view(np.uint32)
        return np.stack([first, layer.shift.astype(np.int32).view(np.uint32)], -1)
    dead = layer.multiplier == 0
    multiplier = np.where(dead, 1 << 30, layer.multiplier.astype(np.int64))
    shift = np.where(dead, -2, layer.shift.astype(np.int64))
    return np.stack([2 * multiplier, np.int64(1) << (32 + shift)], -1).astype(np.uint32)


def sums_of(layer: Weighted, scaling: int) -> tuple[np.ndarray, np.ndarray]:
    """(weights [C, K] int8, bias [C] uint32 with the input's zero point folded in), for channels of multiplier 0 zeros."""
    weights = np.moveaxis(layer.weights, layer.channel_axis, 0).reshape(layer.channels, -1)
    bias = layer.folded_bias()
    if scaling in (RELU, PLAIN):
        dead = layer.multiplier == 0
        weights, bias = np.where(dead[:, None], np.int8(0), weights), np.where(dead, 0, bias)
    return weights, (bias & 0xFFFFFFFF).astype(np.uint32)


def words_of(values: np.ndarray) -> np.ndarray:
    """[..., 4 * n] int8 -> [..., n] uint32, the first value in the lowest byte."""
    return np.ascontiguousarray(values, np.int8).view("<u4").astype(np.uint32)


def pad_to(values: np.ndarray, axis: int, multiple: int) -> np.ndarray:
    """Zeros at the end of an axis up to a multiple."""
    missing = -values.shape[axis] % multiple
    if not missing:
        return values
    widths = [(0, missing if place == axis else 0) for place in range(values.ndim)]
    return np.pad(values, widths)
