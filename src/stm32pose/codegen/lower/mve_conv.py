"""Weighted operators by the kernels for Helium: which kernel, its constants, its lead."""

from __future__ import annotations

import numpy as np

from stm32pose.codegen.lower.weighted import Weighted
from stm32pose.codegen.lower.window import first_inside, is_pointwise, needs_of_pixels, window_fields
from stm32pose.codegen.network import Operator
from stm32pose.codegen.overlap import lead
from stm32pose.codegen.program import Array, Call

PIXELS = 4
"""Output pixels that a convolution makes at once."""
CHANNELS = 16
"""Channels that the 3x3 depthwise kernels copy to scratch at once."""
SHORT_ROW = 12
COPY_BYTES = 4096
LOADED = 16
"""Bytes of a vector."""


def suits_mve(layer: Weighted) -> bool:
    """Whether its sums fit into 32 bits, so that the vector arithmetic equals that of the portable kernels."""
    limits = np.iinfo(np.int32)
    folded = layer.folded_bias()
    return (
        layer.channels > 0
        and layer.weights.size > 0
        and int(min(layer.sum_low.min(), folded.min())) >= limits.min
        and int(max(layer.sum_high.max(), folded.max())) <= limits.max
    )


def conv_mve_call(op: Operator, layer: Weighted, macs: int) -> Call | None:
    """CONV_2D; None: the portable kernel has to do it."""
    _, height, width, channels = layer.input.shape
    if not suits_mve(layer) or layer.weights.shape[3] != channels:
        return None
    window = int(layer.weights[0].size)
    padded = np.concatenate([layer.weights.reshape(-1), np.zeros(-window % LOADED, np.int8)])
    pixels = layer.output.shape[1] * layer.output.shape[2]
    groups = np.arange(-(-pixels // PIXELS))
    written = np.minimum((groups + 1) * PIXELS, pixels) * layer.channels
    pointwise = is_pointwise(op, layer)
    if pointwise:
        needed = groups * PIXELS * channels
    else:
        starts = needs_of_pixels(op, layer)
        needed = np.append(starts[PIXELS::PIXELS], height * width * channels)
    return Call(
        function="conv_pointwise_mve" if pointwise else "conv_mve",
        source="kernels_conv_mve",
        struct="conv_mve_params",
        fields={
            **window_fields(op, layer),
            "output_channels": layer.channels,
            "shifts_left": int(layer.shift.max() > 0),
            "weights": Array(padded),
            "bias": Array(layer.folded_bias().astype(np.int32), "bias"),
            **layer.common_fields(),
        },
        inputs=op.inputs[:1],
        outputs=op.outputs,
        kind=op.kind,
        name=op.name,
        macs=macs,
        scratch_bytes=0 if pointwise else PIXELS * (window + -window % LOADED),
        leads=(lead(written, needed),),
    )


def depthwise_mve_call(op: Operator, layer: Weighted, macs: int) -> Call | None:
    """DEPTHWISE_CONV_2D; None: the portable kernel has to do it."""
    _, height, width, channels = layer.input.shape
    _, rows, columns, made = layer.output.shape
    if not suits_mve(layer) or made != channels:
        return None
    weights, bias = layer.weights.reshape(-1), layer.bias
    first_rows, _ = first_inside(op, layer)
    small = op.options["kernel"] == (3, 3) and op.options["dilation"] == (1, 1) and max(op.options["pads"][:2]) <= 2
    scratch, together = 0, 0
    if small and op.options["stride"] == (1, 1):
        function, pair = "depthwise_3x3_mve", max(columns + 2, 4) * 4 * CHANNELS
        pairs = _copies(pair, columns, (rows + 1) // 2)
        scratch, together = pairs * pair, 2 * pairs
    elif small and op.options["stride"][1] == 2:
        function, row = "depthwise_3x3_stride_2_mve", (2 * (columns + -columns % PIXELS) + 2) * 4 * CHANNELS
        together = _copies(row, columns, rows)
        scratch = together * row
    else:
        function = "depthwise_mve"
    if scratch:
        # A channel's nine weights together, column by column.
        weights = layer.weights[0].transpose(2, 1, 0).reshape(-1)
        bias = layer.folded_bias().astype(np.int32)
        starts = np.arange(0, rows, together)
        if function == "depthwise_3x3_mve" and starts[-1] == rows - 1:
            starts[-1] = max(rows - 2, 0)  # a last row alone is made together with the one before it
        rows_needed = first_rows[starts] * width * channels
        # Of one block of channels, the rows are copied before anything is written.
        needed = np.append(rows_needed[1:], height * width * channels) if channels <= CHANNELS else rows_needed
        written = np.minimum((np.arange(len(needed)) + 1) * together, rows) * columns * made
    else:
        needed = needs_of_pixels(op, layer)
        written = np.arange(1, len(needed) + 1) * made
    return Call(
        function=function,
        source="kernels_depthwise_mve",
        struct="depthwise_mve_params",
        fields={
            **window_fields(op, layer, channels="channels"),
            "rows_together": together,
            "weights": Array(weights),
            "bias": Array(bias, "bias"),
            **layer.common_fields(),
        },
        inputs=op.inputs[:1],
        outputs=op.outputs,
        kind=op.kind,
        name=op.name,
        macs=macs,
        scratch_bytes=scratch,
        leads=(lead(written, needed),),
    )


def fully_connected_mve_call(op: Operator, layer: Weighted, rows: int) -> Call | None:
    """FULLY_CONNECTED; None: the portable kernel has to do it."""
    if not suits_mve(layer) or np.any((layer.shift >= 0) & (layer.multiplier != 0) & layer.fixed):
        return None
    count = int(layer.weights.shape[1])
    order = np.arange(rows)
    return Call(
        function="fully_connected_mve",
        source="kernels_fully_connected_mve",
        struct="fully_connected_mve_params",
        fields={
            "rows": rows,
            "inputs": count,
            "outputs": layer.channels,
            "weights": Array(layer.weights.reshape(-1)),
            "bias": Array(layer.folded_bias().astype(np.int32), "bias"),
            **layer.common_fields(),
        },
        inputs=op.inputs[:1],
        outputs=op.outputs,
        kind=op.kind,
        name=op.name,
        macs=rows * int(layer.weights.size),
        leads=(lead((order + 1) * layer.channels, order * count),),
    )


def _copies(size: int, columns: int, most: int) -> int:
    """How many output rows, or pairs of them, are made from one copy of `size` bytes each.

    Several where rows are short: what is prepared for a channel then serves more outputs. The price is a larger lead.
    """
    return min(most, max(1, COPY_BYTES // size)) if columns <= SHORT_ROW else 1
