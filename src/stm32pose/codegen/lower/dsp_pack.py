"""Weights, biases and scales in the order in which the DSP kernels read them (c/kernels_dsp.h)."""

from __future__ import annotations

import numpy as np

from stm32pose.codegen.lower.weighted import Weighted

RELU, PLAIN, GENERAL, FLOAT, C_CODE, ONCE = range(6)
"""DSP_SCALE_... of kernels_dsp.h."""
WAYS = ("relu", "plain", "general", "float", "c", "c")
"""Ends of the names of the kernels that scale so."""


def scaling_of(layer: Weighted) -> int:
    """How the kernels turn sums into outputs; the first two ways are the quick ones.

    With a zero point of -128 negative results are cut off, so that nobody sees how their halves are rounded.
    """
    if layer.once:
        return ONCE
    if not layer.fixed:
        return FLOAT
    used = layer.multiplier != 0
    if not (layer.shift[used] > -2).any() and (layer.low, layer.high) == (-128, 127):
        return RELU if layer.output.zero_point == -128 else PLAIN
    # Where nothing is divided, the kernels double the scaled sum first.
    most = np.maximum(np.abs(layer.sum_low), np.abs(layer.sum_high)) << np.maximum(layer.shift, 0).astype(np.int64)
    return C_CODE if (used & (layer.shift >= 0) & (most >= 1 << 30)).any() else GENERAL


def scale_words(layer: Weighted, scaling: int, left_over: int) -> np.ndarray:
    """[C, n] uint32: the numbers that follow a channel's weights, those of the last `left_over` channels for C code."""
    in_c = np.zeros((layer.channels, 4 if scaling == GENERAL else 2), np.uint32)
    in_c[:, 0] = layer.multiplier.astype(np.int32 if layer.fixed else np.float32).view(np.uint32)
    in_c[:, 1] = layer.shift.astype(np.int32).view(np.uint32)
    if scaling in (FLOAT, C_CODE, ONCE):
        return in_c
    dead = _dead(layer, scaling)
    multiplier = 2 * np.where(dead, 1 << 30, layer.multiplier.astype(np.int64))
    shift = np.where(dead, -2, layer.shift.astype(np.int64))
    if scaling == GENERAL:
        divider = -(np.int64(1) << (32 + np.minimum(shift, -1)))
        words = np.stack([multiplier, np.maximum(shift, 0), shift >= 0, divider], -1)
    else:
        words = np.stack([multiplier, np.int64(1) << (32 + shift)], -1)
    words = (words & 0xFFFFFFFF).astype(np.uint32)
    first = layer.channels - left_over
    return np.concatenate([words[:first], in_c[first:]])


def sums_of(layer: Weighted, scaling: int) -> tuple[np.ndarray, np.ndarray]:
    """(weights [C, K] int8, bias [C] uint32 with the input's zero point folded in)."""
    weights = np.moveaxis(layer.weights, layer.channel_axis, 0).reshape(layer.channels, -1)
    dead = _dead(layer, scaling)
    weights, bias = np.where(dead[:, None], np.int8(0), weights), np.where(dead, 0, layer.folded_bias())
    return weights, (bias & 0xFFFFFFFF).astype(np.uint32)


def _dead(layer: Weighted, scaling: int) -> np.ndarray:
    """[C], channels with a multiplier of 0, which the assembly cannot have: they get sums of 0 instead."""
    return (layer.multiplier == 0) & (scaling in (RELU, PLAIN, GENERAL))


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
