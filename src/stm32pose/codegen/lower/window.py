"""The windows of convolutions: where they lie, and which bytes of the input the rest of a layer still reads."""

from __future__ import annotations

import numpy as np

from stm32pose.codegen.lower.weighted import Weighted
from stm32pose.codegen.network import Operator
from stm32pose.codegen.overlap import window_needs, window_starts
from stm32pose.codegen.program import Field


def window_fields(op: Operator, layer: Weighted, *, channels: str = "input_channels") -> dict[str, Field]:
    """Members that say where the windows lie and what stands outside; `channels` names that of the input's channels."""
    kernel, stride, dilation, pads = (op.options[name] for name in ("kernel", "stride", "dilation", "pads"))
    return {
        "input_height": layer.input.shape[1],
        "input_width": layer.input.shape[2],
        channels: layer.input.shape[3],
        "output_height": layer.output.shape[1],
        "output_width": layer.output.shape[2],
        "kernel_height": kernel[0],
        "kernel_width": kernel[1],
        "stride_height": stride[0],
        "stride_width": stride[1],
        "dilation_height": dilation[0],
        "dilation_width": dilation[1],
        "pad_top": pads[0],
        "pad_left": pads[1],
        "input_zero": layer.input.zero_point,
    }


def first_inside(op: Operator, layer: Weighted) -> tuple[np.ndarray, np.ndarray]:
    """First row and first column inside the input, of each output row's and column's window."""
    (down, right), pads = op.options["stride"], op.options["pads"]
    return (
        window_starts(layer.output.shape[1], stride=down, pad=pads[0], limit=layer.input.shape[1]),
        window_starts(layer.output.shape[2], stride=right, pad=pads[1], limit=layer.input.shape[2]),
    )


def needs_of_pixels(op: Operator, layer: Weighted) -> np.ndarray:
    """[output pixels], the lowest byte of the input that is read for a pixel or any later one."""
    _, _, width, channels = layer.input.shape
    return window_needs(*first_inside(op, layer), row_bytes=width * channels, pixel_bytes=channels)


def is_pointwise(op: Operator, layer: Weighted) -> bool:
    """Whether every output pixel reads the input pixel of its own place alone."""
    return (
        op.options["kernel"] == (1, 1)
        and op.options["stride"] == (1, 1)
        and not any(op.options["pads"][:2])
        and layer.input.shape[1:3] == layer.output.shape[1:3]
    )
