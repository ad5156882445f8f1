"""CONV_2D and FULLY_CONNECTED with the DSP instructions of Cortex-M4, M7 and M33 (c/kernels_conv_dsp.c)."""

from __future__ import annotations

import numpy as np

from stm32pose.codegen.lower.dsp_pack import WAYS, pad_to, scale_words, scaling_of, sums_of, words_of
from stm32pose.codegen.lower.weighted import Weighted
from stm32pose.codegen.lower.window import is_pointwise, needs_of_pixels, window_fields
from stm32pose.codegen.network import Operator
from stm32pose.codegen.overlap import lead
from stm32pose.codegen.program import Array, Call, Field

PIXELS = 4
"""Pixels that are made at once; those left over at the end are made alone."""


def conv_dsp_call(op: Operator, layer: Weighted, macs: int) -> Call | None:
    """CONV_2D without groups; None: another kernel must take it."""
    _, rows, columns, _ = layer.output.shape
    channels = layer.input.shape[3]
    if layer.weights.shape[3] != channels:
        return None
    single = is_pointwise(op, layer)
    needed = np.arange(rows * columns) * channels if single else needs_of_pixels(op, layer)
    fields = {**window_fields(op, layer), "output_channels": layer.channels}
    return _call(op, layer, fields, needed, "conv_1x1_dsp" if single else "conv_dsp", macs)


def fully_connected_dsp_call(op: Operator, layer: Weighted, rows: int) -> Call | None:
    """FULLY_CONNECTED: several vectors as a convolution of as many pixels, one without scratch; None: as `conv`."""
    count = int(layer.weights.shape[1])
    if rows == 1:
        return _one_vector(op, layer, count)
    fields: dict[str, Field] = {
        "input_height": 1,
        "input_width": rows,
        "input_channels": count,
        "output_height": 1,
        "output_width": rows,
        "output_channels": layer.channels,
        **{f"{name}_{axis}": 1 for name in ("kernel", "stride", "dilation") for axis in ("height", "width")},
        "pad_top": 0,
        "pad_left": 0,
        "input_zero": layer.input.zero_point,
    }
    return _call(op, layer, fields, np.arange(rows) * count, "conv_1x1_dsp", rows * int(layer.weights.size))


def _one_vector(op: Operator, layer: Weighted, count: int) -> Call | None:
    folded = layer.folded_bias()
    # Sums are made in 32 bits; of raw bytes they may be as large as of real ones.
    most = int(np.abs(folded).max()) + 128 * 127 * count
    if max(most, int(np.abs(layer.sum_low).max()), int(np.abs(layer.sum_high).max())) >= 2**31:
        return None
    return Call(
        function="fully_connected_dsp",
        source="kernels_fully_connected_dsp",
        struct="fully_connected_dsp_params",
        fields={
            "inputs": count,
            "outputs": layer.channels,
            "weights": Array(_by_fours(layer.weights)),
            "bias": Array(folded.astype(np.int32), "bias"),
            **layer.common_fields(),
        },
        inputs=op.inputs[:1],
        outputs=op.outputs,
        kind=op.kind,
        name=op.name,
        macs=int(layer.weights.size),
        leads=(layer.channels,),
    )


def _by_fours(weights: np.ndarray) -> np.ndarray:
    """[O, K] as [O / 4][K / 4][4 outputs][4 inputs], flat, zeros where there are none."""
    padded = pad_to(pad_to(weights, 0, 4), 1, 4)
    outputs, inputs = padded.shape
    return np.ascontiguousarray(padded.reshape(outputs // 4, 4, inputs // 4, 4).transpose(0, 2, 1, 3)).reshape(-1)


def _call(
    op: Operator, layer: Weighted, fields: dict[str, Field], needed: np.ndarray, function: str, macs: int
) -> Call:
    """`needed`: [pixels], the lowest byte of the input that is read for a pixel or any later one."""
    weights = int(layer.weights.size) // layer.channels
    depth, pixels = weights + -weights % 4, len(needed)
    gathered = int(fields["input_channels"]) % 4 != 0  # type: ignore[arg-type]
    at_once = PIXELS if pixels >= PIXELS else 1
    scaling = scaling_of(layer)
    return Call(
        function=f"{function}_{WAYS[scaling]}",
        source="kernels_conv_dsp",
        struct="conv_dsp_params",
        fields={
            **fields,
            "depth": depth,
            "output_zero": layer.output.zero_point,
            "activation_min": layer.low,
            "activation_max": layer.high,
            "scaling": scaling,
            "packed": Array(pack_conv(layer, scaling)),
        },
        inputs=op.inputs[:1],
        outputs=op.outputs,
        kind=op.kind,
        name=op.name,
        macs=macs,
        scratch_bytes=8 * depth + (at_once * depth + 4 if gathered else 0),
        leads=(group_lead(needed, layer.channels, layer.input.elements),),
    )


def group_lead(needed: np.ndarray, pixel_bytes: int, input_bytes: int) -> int:
    """`Call.leads` of a kernel that copies what a group of pixels needs before it writes their outputs."""
    pixels = len(needed)
    ends = np.concatenate([np.arange(PIXELS, pixels + 1, PIXELS), np.arange(pixels - pixels % PIXELS + 1, pixels + 1)])
    after = np.append(needed, input_bytes)[ends]
    return lead(ends * pixel_bytes, after)


def pack_conv(layer: Weighted, scaling: int) -> np.ndarray:
    """The stream of `conv_dsp_params.packed`, [words] uint32."""
    weights, bias = sums_of(layer, scaling)
    weights = pad_to(pad_to(weights, 1, 4), 0, 2)
    pairs = weights.reshape(len(weights) // 2, 2, -1, 2, 2)  # pair, channel, fours, k / 2, k % 2
    words = words_of(pairs.transpose(0, 2, 4, 3, 1).reshape(len(pairs), -1))  # pair, (fours, k % 2, k / 2, channel)
    scales = pad_to(scale_words(layer, scaling, layer.channels % 2), 0, 2)
    biases = pad_to(bias, 0, 2).reshape(-1, 2)
    return np.concatenate([biases, words, scales.reshape(len(pairs), -1)], 1).reshape(-1)
