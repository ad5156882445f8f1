"""DEPTHWISE_CONV_2D with the DSP instructions of Cortex-M4, M7 and M33 (c/kernels_depthwise_dsp.c)."""

from __future__ import annotations

import numpy as np

from stm32pose.codegen.lower.dsp_pack import WAYS, pad_to, scale_words, scaling_of, sums_of, words_of
from stm32pose.codegen.lower.weighted import Weighted
from stm32pose.codegen.lower.window import needs_of_pixels, window_fields
from stm32pose.codegen.network import Operator
from stm32pose.codegen.overlap import lead
from stm32pose.codegen.program import Array, Call

MOST_TAPS = 49
PAIRS_3X3 = ((0, 3), (1, 4), (2, 5), (6, 7), (7, 8))
"""Taps, row * 3 + column, that share a word in depthwise_3x3_dsp."""


def depthwise_dsp_call(op: Operator, layer: Weighted, macs: int) -> Call | None:
    """One output channel for each input channel; None: another kernel must take it."""
    _, _, columns, made = layer.output.shape
    channels = layer.input.shape[3]
    kernel, stride, dilation = (op.options[name] for name in ("kernel", "stride", "dilation"))
    if made != channels or kernel[0] * kernel[1] > MOST_TAPS:
        return None
    special = kernel == (3, 3) and stride[1] in (1, 2) and dilation[1] == 1
    function = ("depthwise_3x3_dsp", "depthwise_3x3_stride_2_dsp")[stride[1] - 1] if special else "depthwise_dsp"
    needed = needs_of_pixels(op, layer)
    scaling = scaling_of(layer)
    return Call(
        function=f"{function}_{WAYS[scaling]}",
        source="kernels_depthwise_dsp",
        struct="depthwise_dsp_params",
        fields={
            **window_fields(op, layer, channels="channels"),
            "output_zero": layer.output.zero_point,
            "activation_min": layer.low,
            "activation_max": layer.high,
            "scaling": scaling,
            "packed": Array(pack_3x3(layer, scaling) if special else pack_taps(layer, scaling)),
        },
        inputs=op.inputs[:1],
        outputs=op.outputs,
        kind=op.kind,
        name=op.name,
        macs=macs,
        scratch_bytes=channels,
        leads=(depthwise_lead(needed, columns, channels, 2 if special else 1, layer.input.elements),),
    )


def depthwise_lead(needed: np.ndarray, columns: int, channels: int, at_once: int, input_bytes: int) -> int:
    """`Call.leads` of a kernel that makes `at_once` pixels of a row at once, four channels after four channels.

    When four channels of a group are read, those before them are written in its last pixel: they lie where channels
    are that nobody reads any more if that pixel begins before the group's first window.

    Args:
        needed: [pixels], the lowest byte of the input that is read for a pixel or any later one.
    """
    column = np.arange(columns)
    last = np.minimum(column // at_once * at_once + at_once, columns) - 1
    rows = np.arange(0, len(needed), columns)[:, None]
    first, last = (rows + column // at_once * at_once).reshape(-1), (rows + last).reshape(-1)
    within = lead(last * channels, needed[first])
    return max(within, lead((last + 1) * channels, np.append(needed, input_bytes)[last + 1]))


def pack_3x3(layer: Weighted, scaling: int) -> np.ndarray:
    """The stream of `depthwise_dsp_params.packed` for depthwise_3x3_dsp, [words] uint32."""
    taps, bias, scales = _parts(layer, scaling)
    pairs = taps[:, np.array(PAIRS_3X3)]  # channel, word, tap
    words = words_of(pairs.reshape(-1, 2, 5, 2).transpose(0, 2, 3, 1).reshape(-1, 20))
    return np.concatenate([bias.reshape(-1, 2), words, scales.reshape(len(words), -1)], 1).reshape(-1)


def pack_taps(layer: Weighted, scaling: int) -> np.ndarray:
    """The stream of `depthwise_dsp_params.packed` for depthwise_dsp, [words] uint32."""
    taps, bias, scales = _parts(layer, scaling)
    pairs = pad_to(taps, 1, 2).reshape(len(taps) // 4, 2, 2, -1, 2)  # four, half, channel, word, tap
    words = words_of(pairs.transpose(0, 3, 1, 4, 2).reshape(len(pairs), -1))
    return np.concatenate([bias.reshape(-1, 4), words, scales.reshape(len(words), -1)], 1).reshape(-1)


def _parts(layer: Weighted, scaling: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(weights [C, taps], biases [C], scales [C, n]), C rounded up to fours."""
    taps, bias = sums_of(layer, scaling)
    scales = scale_words(layer, scaling, layer.channels % 4)
    return pad_to(taps, 0, 4), pad_to(bias, 0, 4), pad_to(scales, 0, 4)
