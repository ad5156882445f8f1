"""Integer and real: how pixels enter a quantized network and how its outputs become real numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stm32pose.errors import ConfigError
from stm32pose.inference.input_range import filling, rescaling_text

TIE = 1e-3
"""Quantized values this close to a half are taken for a half: a file's float32 scale is only that exact."""


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a model file.

    Attributes:
        name: the file's name of it.
        shape: without batch.
        dtype: numpy name, such as `int8` or `float32`.
        scale, zero_point: real = scale * (stored - zero_point); (0.0, 0) where the tensor is not quantized.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0


def quantize(values: np.ndarray, scale: float, zero_point: int, dtype: str) -> np.ndarray:
    """round(values / scale) + zero_point, clipped to `dtype`; halves go up.

    A zero point that would be 127.5 is stored as 127 or 128 (inputs in [-1, 1] always are such a case), so every pixel
    falls on a half. Rounding noise must not tear the table apart there: within `TIE` of a half the value goes up.
    """
    limits = np.iinfo(dtype)
    levels = np.floor(np.asarray(values, np.float64) / scale + zero_point + 0.5 + TIE)
    return np.clip(levels, limits.min, limits.max).astype(dtype)


def input_table(tensor: TensorInfo, rescaling: tuple[float, float], path: Path) -> np.ndarray:
    """The stored input value of each pixel value 0..255, as an array of 256 entries of the tensor's type.

    An integer tensor without scale takes whole numbers as they are (scale 1, zero point 0).

    Raises:
        ConfigError: the rescaled pixels do not suit the range that the tensor can hold.
    """
    scale, offset = rescaling
    real = scale * np.arange(256, dtype=np.float64) + offset
    if tensor.dtype.startswith("float"):
        return real.astype(tensor.dtype)
    step, zero_point = (tensor.scale, tensor.zero_point) if tensor.scale else (1.0, 0)
    limits = np.iinfo(tensor.dtype)
    exact = real / step + zero_point
    clipped = np.mean((exact < limits.min - 2) | (exact > limits.max + 2))
    table = quantize(real, step, zero_point, tensor.dtype)
    if clipped > 0.1 or len(np.unique(table)) < 32:
        low, high = (limits.min - zero_point) * step, (limits.max - zero_point) * step
        if not tensor.scale:
            low, high = 0.0, 255.0
        raise ConfigError(
            f"preprocessing.rescaling: scale {scale:.6g}, offset {offset:g} gives inputs in "
            f"[{real.min():.3g}, {real.max():.3g}], the input of {path.name} wants "
            f"[{low:.3g}, {high:.3g}]; use {rescaling_text(filling(low, high))}"
        )
    return table


def look_up(table: np.ndarray, images: np.ndarray) -> np.ndarray:
    """table[images] for uint8 images, by OpenCV; the images themselves where the table changes nothing."""
    import cv2

    if table.dtype == np.uint8 and np.array_equal(table, np.arange(256)):
        return images
    if table.dtype.name not in ("uint8", "int8", "uint16", "int16", "int32", "float32", "float64"):
        return table[images]
    flat = np.ascontiguousarray(images).reshape(len(images), -1)
    return cv2.LUT(flat, table).reshape(images.shape)


def dequantize(values: np.ndarray, tensor: TensorInfo) -> np.ndarray:
    """Stored values as float32: scale * (stored - zero_point), or the values themselves where there is no scale."""
    if values.dtype == np.float32:
        return values
    if not tensor.scale:
        return values.astype(np.float32)
    if values.dtype.itemsize == 1:
        levels = np.arange(256, dtype=np.uint8).view(values.dtype).astype(np.float32)
        table = (levels - np.float32(tensor.zero_point)) * np.float32(tensor.scale)
        return look_up(table, values.view(np.uint8))
    return (values.astype(np.float32) - np.float32(tensor.zero_point)) * np.float32(tensor.scale)
