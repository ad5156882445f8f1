"""Which range of real numbers a quantized file takes at its input, and the rescaling of pixels that gives it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stm32pose.config.suffixes import model_kind

USUAL = ((1 / 255, 0.0), (1 / 127.5, -1.0), (1.0, 0.0))
"""Rescalings (scale, offset) that networks are trained with: pixels to [0, 1], [-1, 1] and [0, 255]."""


def input_range(path: Path) -> tuple[float, float] | None:
    """(lowest, highest) real value that the input quantization of a file can hold; None where it is not quantized.

    An integer input without scale takes whole numbers as they are. An ONNX file with a float input tells by the
    QuantizeLinear node behind it.

    Raises:
        UserError: the file cannot be read.
    """
    kind = model_kind(path)
    if kind == "tflite":
        from stm32pose.inference.tflite_runner import open_interpreter

        details = open_interpreter(path).get_input_details()[0]
        scale, zero_point = details["quantization"]
        dtype = np.dtype(details["dtype"])
        return _held(dtype, float(scale) or 1.0, int(zero_point)) if dtype.kind in "iu" else None
    return _onnx_range(path) if kind == "onnx" else None


def own_rescaling(path: Path) -> tuple[float, float] | None:
    """The (scale, offset) that a file's input quantization was made for; None where it does not tell.

    A usual rescaling within two quantization steps of the range is taken for it; else pixels fill the range.
    """
    held = input_range(path)
    if held is None:
        return None
    low, high = held
    step = (high - low) / 255
    for scale, offset in USUAL:
        if abs(offset - low) <= 2 * step and abs(255 * scale + offset - high) <= 2 * step:
            return scale, offset
    return step, low


def _held(dtype: np.dtype, scale: float, zero_point: int) -> tuple[float, float]:
    limits = np.iinfo(dtype)
    return (int(limits.min) - zero_point) * scale, (int(limits.max) - zero_point) * scale


def _onnx_range(path: Path) -> tuple[float, float] | None:
    import onnx

    graph = onnx.load(str(path)).graph
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    images = {item.name for item in graph.input} - set(constants)
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[0] in images:
            scale = constants.get(node.input[1])
            zero = constants.get(node.input[2]) if len(node.input) > 2 else np.zeros((), np.uint8)
            if scale is not None and zero is not None and scale.size == 1:
                return _held(zero.dtype, float(scale.reshape(())), int(zero.reshape(())))
    return None
