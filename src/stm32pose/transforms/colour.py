"""Random colour: changes of uint8 images that leave every pixel where it is.

Contrast and brightness are gathered in a table of 256 entries a channel and applied by one `cv2.LUT`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from stm32pose.transforms.arguments import RATE, Argument, Choice, Counts, Number, Spread

_RAMP = np.arange(256, dtype=np.float32)[:, None]
_PADDINGS = {"reflect": cv2.BORDER_REFLECT_101, "symmetric": cv2.BORDER_REFLECT, "constant": cv2.BORDER_CONSTANT}

Step = tuple[str, Any]
"""A change and its strength: ("contrast", factor), ("brightness", levels), ("blur", (filter, padding, level))."""


@dataclass(frozen=True)
class Colouring:
    """A colour augmentation: its arguments, and the step each image takes for a number from [0, 1)."""

    arguments: Mapping[str, Argument]
    step: Callable[[Mapping[str, Any], float], Step]


def recolour(image: np.ndarray, steps: Sequence[Step]) -> np.ndarray:
    """Apply steps in their order, in place.

    Args:
        image: uint8 [H, W, C], contiguous, overwritten.
        steps: contrast a: pixels move to a times their distance from the channel's mean; brightness b: b levels
            (of 255) are added; blur: a box filter of that many pixels. Results are clipped to 0..255 after each step
            and rounded when the table is applied.
    """
    table: np.ndarray | None = None
    for name, strength in steps:
        if name == "brightness":
            table = np.clip((_RAMP if table is None else table) + np.float32(strength), 0, 255)
            continue
        if table is not None:  # the mean and the blur need the pixels as they are now
            _apply(image, table)
            table = None
        if name == "contrast":
            mean = np.array(cv2.mean(image)[: image.shape[2]], dtype=np.float32)
            table = np.clip(_RAMP * np.float32(strength) + (1 - np.float32(strength)) * mean, 0, 255)
        else:
            blur(image, *strength)
    if table is not None:
        _apply(image, table)
    return image


def contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Spread the pixels of each channel about its mean; uint8 [H, W, C], in place."""
    return recolour(image, [("contrast", factor)])


def brightness(image: np.ndarray, levels: float) -> np.ndarray:
    """Add `levels` (of 255) to all pixels; uint8 [H, W, C], in place."""
    return recolour(image, [("brightness", levels)])


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


def _apply(image: np.ndarray, table: np.ndarray) -> None:
    cv2.LUT(image, np.rint(table).astype(np.uint8)[None], dst=image)


def _contrast_step(arguments: Mapping[str, Any], uniform: float) -> Step:
    low, high = arguments["factor"]
    return "contrast", low + (high - low) * uniform


def _brightness_step(arguments: Mapping[str, Any], uniform: float) -> Step:
    low, high = arguments["factor"]
    return "brightness", 255 * (low + (high - low) * uniform)


def _blur_step(arguments: Mapping[str, Any], uniform: float) -> Step:
    low, high = arguments["filter_size"]
    size = low + int((high - low + 1) * uniform)
    return "blur", (size, arguments["padding"], 255 * arguments["constant_values"])


COLOURING: dict[str, Colouring] = {
    "random_contrast": Colouring(
        {"factor": Spread(0, 10, "a share of the contrast", most=1, centre=1.0), **RATE}, _contrast_step
    ),
    "random_brightness": Colouring(
        {"factor": Spread(-1, 1, "a share of the whole range of pixels"), **RATE}, _brightness_step
    ),
    "random_blur": Colouring(
        {
            "filter_size": Counts(1, 31),
            "padding": Choice(tuple(_PADDINGS), "reflect"),
            "constant_values": Number(0, 1, 0.0),
            "change_rate": Number(0, 1, 0.5),
        },
        _blur_step,
    ),
}
