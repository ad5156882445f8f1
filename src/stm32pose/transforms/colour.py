"""Colour steps done on an image: tables gathered and applied at once, hue and the like in one conversion, filters.

A step is a name and a strength. Names and what they do stand in `tables`, `hsv`, `filters`, `noise`, `erasing` and
`custom`; every step leaves every pixel where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from stm32pose.transforms import custom, erasing, filters, hsv, noise
from stm32pose.transforms.hsv import HSV
from stm32pose.transforms.operations import Step
from stm32pose.transforms.tables import LEVELS, MEASURED, RAMP

PIXELS: dict[str, Callable[[np.ndarray, Any], Any]] = {
    **hsv.PIXELS,
    **filters.PIXELS,
    **noise.PIXELS,
    **erasing.PIXELS,
    **custom.PIXELS,
}


def recolour(image: np.ndarray, steps: Sequence[Step]) -> np.ndarray:
    """Apply steps in their order, in place.

    Results are clipped to 0..255 after each step and rounded when a table is applied: before anything looks at the
    image, and at the end.

    Args:
        image: uint8 [H, W, C], contiguous, overwritten; RGB where C is 3.
        steps: names of `LEVELS`, `MEASURED`, `HSV` or `PIXELS`, each with its strength.
    """
    table: np.ndarray | None = None
    in_hsv = False
    for name, strength in steps:
        if in_hsv and name not in HSV:
            cv2.cvtColor(image, cv2.COLOR_HSV2RGB_FULL, dst=image)
            in_hsv = False
        if name in LEVELS:
            table = LEVELS[name](RAMP if table is None else table, strength)
            continue
        table = _apply(image, table)
        if name in HSV:
            if not in_hsv:
                cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL, dst=image)
                in_hsv = True
            HSV[name](image, strength)
        elif name in MEASURED:
            table = MEASURED[name](image, strength)
        else:
            PIXELS[name](image, strength)
    _apply(image, table)
    if in_hsv:
        cv2.cvtColor(image, cv2.COLOR_HSV2RGB_FULL, dst=image)
    return image


def _apply(image: np.ndarray, table: np.ndarray | None) -> None:
    if table is not None:
        cv2.LUT(image, np.rint(table).astype(np.uint8)[None], dst=image)
