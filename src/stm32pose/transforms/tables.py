"""Colour by table: changes that send equal levels to equal levels, channel by channel.

A change of levels takes a float32 table [256, 1 or C], what each level of the image has become so far, and returns the
next one; a measured change looks at the image first. `colour.recolour` gathers them and applies one `cv2.LUT`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from stm32pose.transforms.arguments import RATE, Counts, Interval, Number, Spread
from stm32pose.transforms.operations import Arguments, Colouring, Steps, between, each, whole_between

RAMP = np.arange(256, dtype=np.float32)[:, None]
SELDOM = {"change_rate": Number(0, 1, 0.25)}


def brightness(levels: np.ndarray, amount: float) -> np.ndarray:
    """`amount` levels (of 255) more."""
    return np.clip(levels + np.float32(amount), 0, 255)


def scale(levels: np.ndarray, factor: float) -> np.ndarray:
    """`factor` times as bright; MMPose's contrast, which spreads about black."""
    return np.clip(levels * np.float32(factor), 0, 255)


def gamma(levels: np.ndarray, exponent: float) -> np.ndarray:
    """Shares of white to the power of `exponent`: above 1 darker, below 1 brighter."""
    return 255 * (levels / 255) ** np.float32(exponent)


def invert(levels: np.ndarray, strength: None = None) -> np.ndarray:
    """The negative."""
    return 255 - levels


def posterize(levels: np.ndarray, bits: int) -> np.ndarray:
    """The highest `bits` of eight are kept, the others become 0."""
    return (np.rint(levels).astype(np.int32) & (0xFF << (8 - bits) & 0xFF)).astype(np.float32)


def solarize(levels: np.ndarray, threshold: int) -> np.ndarray:
    """Levels from `threshold` on are inverted."""
    return np.where(np.rint(levels) >= threshold, 255 - levels, levels)


def contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Levels at `factor` times their distance from the mean of their channel."""
    mean = np.array(cv2.mean(image)[: image.shape[2]], dtype=np.float32)
    return np.clip(RAMP * np.float32(factor) + (1 - np.float32(factor)) * mean, 0, 255)


def autocontrast(image: np.ndarray, cutoff: int) -> np.ndarray:
    """Each channel stretched from black to white, `cutoff` percent of its pixels left out at both ends (as Pillow)."""
    columns = []
    for counts in _histograms(image):
        total = np.cumsum(counts)
        cut = int(total[-1]) * cutoff // 100
        low = int(np.searchsorted(total, cut, side="right"))
        high = 255 - int(np.searchsorted(np.cumsum(counts[::-1]), cut, side="right"))
        stretched = (RAMP[:, 0] - low) * (255 / (high - low)) if high > low else RAMP[:, 0]
        columns.append(np.clip(stretched, 0, 255))
    return np.stack(columns, axis=1).astype(np.float32)


def equalize(image: np.ndarray, strength: None = None) -> np.ndarray:
    """Each channel's levels spread so that all are used about equally often (as Pillow)."""
    columns = []
    for counts in _histograms(image):
        used = counts[counts > 0]
        step = int(used[:-1].sum()) // 255
        below = np.cumsum(counts) - counts
        columns.append(RAMP[:, 0] if step == 0 else np.minimum((below + step // 2) // step, 255))
    return np.stack(columns, axis=1).astype(np.float32)


def _histograms(image: np.ndarray) -> list[np.ndarray]:
    """Pixels of each level, int64 [256], a channel each."""
    return [
        cv2.calcHist([image], [channel], None, [256], [0, 256]).ravel().astype(np.int64)
        for channel in range(image.shape[2])
    ]


LEVELS: dict[str, Callable[[np.ndarray, Any], np.ndarray]] = {
    "brightness": brightness,
    "scale": scale,
    "gamma": gamma,
    "invert": invert,
    "posterize": posterize,
    "solarize": solarize,
}
MEASURED: dict[str, Callable[[np.ndarray, Any], np.ndarray]] = {
    "contrast": contrast,
    "autocontrast": autocontrast,
    "equalize": equalize,
}


def _brightness(arguments: Arguments, uniform: np.ndarray) -> list[Steps]:
    return each("brightness", 255 * between(arguments["factor"], uniform[:, 0]))


def _contrast(arguments: Arguments, uniform: np.ndarray) -> list[Steps]:
    return each("contrast", between(arguments["factor"], uniform[:, 0]))


def _gamma(arguments: Arguments, uniform: np.ndarray) -> list[Steps]:
    return each("gamma", between(arguments["gamma"], uniform[:, 0]))


def _posterize(arguments: Arguments, uniform: np.ndarray) -> list[Steps]:
    return each("posterize", whole_between(arguments["bits"], uniform[:, 0]))


def _solarize(arguments: Arguments, uniform: np.ndarray) -> list[Steps]:
    return each("solarize", whole_between((0, 255), uniform[:, 0]))


def _invert(arguments: Arguments, uniform: np.ndarray) -> list[Steps]:
    return [(("invert", None),)] * len(uniform)


def _equalize(arguments: Arguments, uniform: np.ndarray) -> list[Steps]:
    return [(("equalize", None),)] * len(uniform)


def _autocontrast(arguments: Arguments, uniform: np.ndarray) -> list[Steps]:
    return [(("autocontrast", arguments["cutoff"]),)] * len(uniform)


TABLES: dict[str, Colouring] = {
    "random_contrast": Colouring(
        1, {"factor": Spread(0, 10, "a share of the contrast", most=1, centre=1.0), **RATE}, _contrast
    ),
    "random_brightness": Colouring(
        1, {"factor": Spread(-1, 1, "a share of the whole range of pixels"), **RATE}, _brightness
    ),
    "random_gamma": Colouring(1, {"gamma": Interval(0, 10, "an exponent"), **RATE}, _gamma),
    "random_posterize": Colouring(1, {"bits": Counts(1, 8), **RATE}, _posterize),
    "random_invert": Colouring(0, SELDOM, _invert),
    "random_solarize": Colouring(1, SELDOM, _solarize),
    "random_autocontrast": Colouring(0, {"cutoff": Number(0, 49, 10, whole=True), **SELDOM}, _autocontrast),
    "random_equalize": Colouring(0, SELDOM, _equalize),
}
