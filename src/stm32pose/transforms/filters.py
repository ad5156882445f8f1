"""Filters: blur, sharpening and JPEG compression of uint8 images, in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from stm32pose.transforms.arguments import RATE, Choice, Counts, Interval, Number
from stm32pose.transforms.operations import Arguments, Colouring, Steps, between, each, whole_between

_PADDINGS = {"reflect": cv2.BORDER_REFLECT_101, "symmetric": cv2.BORDER_REFLECT, "constant": cv2.BORDER_CONSTANT}
# 3x3, ones about a five: Pillow's and TensorFlow's SMOOTH.
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], dtype=np.float32) / 13
_SAME = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=np.float32)


def blur(image: np.ndarray, filter_size: int, padding: str = "reflect", level: float = 0.0) -> np.ndarray:
    """Box blur, in place, centred for even sizes too: there half a pixel at both ends counts half.

    Args:
        image: uint8 [H, W, C], overwritten.
        filter_size: side of the box in pixels, at least 1.
        padding: what lies outside: `reflect` (c b | a b c), `symmetric` (b a | a b c) or `constant`.
        level: 0..255, seen outside with `constant`.
    """
    if filter_size <= 1:
        return image
    reach = filter_size // 2
    border, source = _PADDINGS[padding], image
    if padding == "constant":
        source = cv2.copyMakeBorder(image, reach, reach, reach, reach, border, value=(level,) * 4)
    if filter_size % 2:
        result = cv2.blur(source, (filter_size, filter_size), borderType=border)
    else:
        kernel = np.full(filter_size + 1, 1 / filter_size, dtype=np.float32)
        kernel[[0, -1]] /= 2
        result = cv2.sepFilter2D(source, -1, kernel, kernel, borderType=border)
    if padding == "constant":
        result = result[reach : reach + image.shape[0], reach : reach + image.shape[1]]
    image[...] = result.reshape(image.shape)
    return image


def sharpen(image: np.ndarray, factor: float) -> np.ndarray:
    """Pixels plus `factor` times their distance from a 3x3 smoothing, in place; the outermost pixels stay."""
    if min(image.shape[:2]) > 2:
        result = cv2.filter2D(image, -1, _SAME + factor * (_SAME - _SMOOTH)).reshape(image.shape)
        image[1:-1, 1:-1] = result[1:-1, 1:-1]
    return image


def compress(image: np.ndarray, quality: int) -> np.ndarray:
    """What is left of the image after a JPEG of that quality, in place; 100 changes nothing.

    Args:
        image: uint8 [H, W, 1 or 3], RGB.
        quality: 0 to 100.
    """
    if quality >= 100:
        return image
    grey = image.shape[2] == 1
    source = image if grey else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", source, [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    decoded = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    if decoded is None:
        raise ValueError("OpenCV cannot read the JPEG that it has written")
    image[...] = decoded[..., None] if grey else cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    return image


def _run_blur(image: np.ndarray, strength: tuple[int, str, float]) -> None:
    blur(image, *strength)


PIXELS: dict[str, Callable[[np.ndarray, Any], Any]] = {"blur": _run_blur, "sharpen": sharpen, "compress": compress}


def _blur(arguments: Arguments, uniform: np.ndarray) -> list[Steps]:
    padding, level = arguments["padding"], 255 * arguments["constant_values"]
    sizes = whole_between(arguments["filter_size"], uniform[:, 0]).tolist()
    return [(("blur", (size, padding, level)),) for size in sizes]


def _sharpen(arguments: Arguments, uniform: np.ndarray) -> list[Steps]:
    return each("sharpen", between(arguments["factor"], uniform[:, 0]))


def _compress(arguments: Arguments, uniform: np.ndarray) -> list[Steps]:
    return each("compress", whole_between(arguments["jpeg_quality"], uniform[:, 0]))


FILTERS: dict[str, Colouring] = {
    "random_blur": Colouring(
        1,
        {
            "filter_size": Counts(1, 31),
            "padding": Choice(tuple(_PADDINGS), "reflect"),
            "constant_values": Number(0, 1, 0.0),
            "change_rate": Number(0, 1, 0.5),
        },
        _blur,
        bound=True,
    ),
    "random_sharpness": Colouring(
        1, {"factor": Interval(0, 20, "a factor", from_zero=True), **RATE}, _sharpen, bound=True
    ),
    "random_jpeg_quality": Colouring(1, {"jpeg_quality": Counts(0, 100), **RATE}, _compress, bound=True),
}
