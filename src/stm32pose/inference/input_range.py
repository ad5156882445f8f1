"""Which range of real numbers a quantized file takes at its input, and the rescaling of pixels that gives it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stm32pose.config.suffixes import model_kind
from stm32pose.errors import UserError

STORED = ("int8", "uint8", "int16", "uint16")
"""Types whose range is known; of others (4 bits, 8-bit floats) nothing is said."""
USUAL = ((1 / 255, 0.0), (1 / 127.5, -1.0), (1.0, 0.0))
"""Rescalings (scale, offset) that networks are trained with: pixels to [0, 1], [-1, 1] and [0, 255]."""


def input_range(path: Path) -> tuple[float, float] | None:
    """(lowest, highest) real value that the input quantization of a file can hold; None where it is not quantized.

    An integer input without scale takes whole numbers as they are. A file with a float input tells by the operator
    behind it that quantizes.

    Raises:
        UserError: the file cannot be read.
    """
    steps = input_steps(path)
    return _held(*steps) if steps and steps[0] in STORED else None


def input_steps(path: Path) -> tuple[str, float, int] | None:
    """Type, scale and zero point that a file stores its image input in; None and UserError as in `input_range`."""
    kind = model_kind(path)
    if kind == "tflite":
        from stm32pose.inference.tflite_file import image_steps as steps_of_tflite
        from stm32pose.inference.tflite_file import read_raw

        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from error
        return steps_of_tflite(read_raw(content, path))
    if kind == "onnx":
        from stm32pose.inference.onnx_graph import image_steps, read_onnx_model

        return image_steps(read_onnx_model(path))
    return None


def own_rescaling(path: Path) -> tuple[float, float] | None:
    """The (scale, offset) that a file's input quantization was made for; None where it does not tell. As `filling`."""
    held = input_range(path)
    return filling(*held) if held else None


def filling(low: float, high: float) -> tuple[float, float]:
    """The (scale, offset) by which pixels fill a range.

    A usual rescaling within two quantization steps of the range is taken for it.
    """
    step = (high - low) / 255
    for scale, offset in USUAL:
        if abs(offset - low) <= 2 * step and abs(255 * scale + offset - high) <= 2 * step:
            return scale, offset
    return step, low


def same_rescaling(first: tuple[float, float], second: tuple[float, float]) -> bool:
    """Whether two rescalings take pixels to the same range within two steps of 255."""
    step = max(abs(first[0]), abs(second[0]))
    ends = [(offset, 255 * scale + offset) for scale, offset in (first, second)]
    return all(abs(one - other) <= 2 * step for one, other in zip(*ends, strict=True))


def rescaling_text(rescaling: tuple[float, float]) -> str:
    """`scale 1/255, offset 0`, as a configuration may have it."""
    scale, offset = rescaling
    usual = {1 / 255: "1/255", 1 / 127.5: "1/127.5"}
    return f"scale {usual.get(scale) or f'{scale:.6g}'}, offset {offset:.6g}"


def _held(dtype: str, scale: float, zero_point: int) -> tuple[float, float]:
    limits = np.iinfo(dtype)
    return (int(limits.min) - zero_point) * scale, (int(limits.max) - zero_point) * scale
