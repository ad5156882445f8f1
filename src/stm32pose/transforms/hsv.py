"""Colour by hue, saturation and value, and what only three channels have: greys, planes, exchanged channels.

Hue, saturation and value are bytes here, 256 to the turn or to the whole (OpenCV's FULL). `colour.recolour` converts
once for a run of such steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from stm32pose.transforms.arguments import RATE, Flag, Interval, Number, Spread
from stm32pose.transforms.operations import Arguments, Colouring, Steps, between
from stm32pose.transforms.tables import SELDOM

_DELTA = Spread(-1, 1, "a share of the whole range")
_PERMUTATIONS = ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


def shift_hsv(planes: np.ndarray, deltas: tuple[float, float, float]) -> None:
    """Shares added to hue (a turn is 1, it goes round), saturation and value (cut at 0 and 1), in place.

    Three passes over bytes: what would leave the range is cut first, and the sum of bytes goes round by itself.
    """
    rows = planes.reshape(len(planes), -1)
    added = [round(256 * deltas[0]), *(round(255 * delta) for delta in deltas[1:])]
    lowest = [0, *(max(0, -amount) for amount in added[1:])]
    highest = [255, *(255 - max(0, amount) for amount in added[1:])]
    low, high, amounts = (
        np.frombuffer(bytes(levels) * planes.shape[1], np.uint8)
        for levels in (lowest, highest, [amount % 256 for amount in added])
    )
    np.maximum(rows, low, out=rows)
    np.minimum(rows, high, out=rows)
    np.add(rows, amounts, out=rows)


def saturate(planes: np.ndarray, factor: float) -> None:
    """Saturation times `factor`, in place."""
    cv2.transform(planes, np.diag([1.0, factor, 1.0]).astype(np.float32), dst=planes)


def to_grey(image: np.ndarray, strength: None = None) -> None:
    """0.299 red + 0.587 green + 0.114 blue, in all three channels, in place."""
    cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB, dst=image)


def show_hsv(image: np.ndarray, strength: None = None) -> None:
    """Hue, saturation and value in the place of red, green and blue, in place."""
    cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL, dst=image)


def permute(image: np.ndarray, order: tuple[int, int, int]) -> None:
    """Channels in another order, in place."""
    planes = cv2.split(image)
    cv2.merge([planes[channel] for channel in order], dst=image)


HSV: dict[str, Callable[[np.ndarray, Any], None]] = {"hsv": shift_hsv, "saturate": saturate}
PIXELS: dict[str, Callable[[np.ndarray, Any], None]] = {"grey": to_grey, "planes": show_hsv, "permute": permute}


def _shifts(*names: str | None) -> Callable[[Arguments, np.ndarray], list[Steps]]:
    """Steps that add to the channels whose arguments have these names."""

    def steps(arguments: Arguments, uniform: np.ndarray) -> list[Steps]:
        columns, used = [], 0
        for name in names:
            columns.append(np.zeros(len(uniform)) if name is None else between(arguments[name], uniform[:, used]))
            used += name is not None
        return [(("hsv", tuple(row)),) for row in np.stack(columns, axis=1).tolist()]

    return steps


def _grey(arguments: Arguments, uniform: np.ndarray) -> list[Steps]:
    return [(("grey", None),)] * len(uniform)


def _planes(arguments: Arguments, uniform: np.ndarray) -> list[Steps]:
    return [(("planes", None),)] * len(uniform)


def _photometric(arguments: Arguments, uniform: np.ndarray) -> list[Steps]:
    """MMPose's photometric distortion: each of its changes for half of the images, contrast before or after colour."""
    least, most = -arguments["brightness_delta"], arguments["brightness_delta"]
    brightness = between((least, most), uniform[:, 0]).tolist()
    contrast = between(arguments["contrast_range"], uniform[:, 1]).tolist()
    saturation = between(arguments["saturation_range"], uniform[:, 2]).tolist()
    hue = (arguments["hue_delta"] / 180 * (2 * uniform[:, 3] - 1)).tolist()
    order = (uniform[:, 4] * len(_PERMUTATIONS)).astype(int).tolist()
    chosen = (uniform[:, 5:10] < 0.5).tolist()
    late = (uniform[:, 10] < 0.5).tolist()
    rows = []
    for row, (brightens, contrasts, saturates, turns, swaps) in enumerate(chosen):
        spread = [("scale", contrast[row])] if contrasts else []
        steps = [("brightness", brightness[row])] if brightens else []
        steps += [] if late[row] else spread
        steps += [("saturate", saturation[row])] if saturates else []
        steps += [("hsv", (hue[row], 0.0, 0.0))] if turns else []
        steps += spread if late[row] else []
        steps += [("permute", _PERMUTATIONS[order[row]])] if swaps and arguments["channel_swap"] else []
        rows.append(tuple(steps))
    return rows


COLOURS: dict[str, Colouring] = {
    "random_hue": Colouring(1, {"delta": _DELTA, **RATE}, _shifts("delta", None, None), rgb=True),
    "random_saturation": Colouring(1, {"delta": _DELTA, **RATE}, _shifts(None, "delta", None), rgb=True),
    "random_value": Colouring(1, {"delta": _DELTA, **RATE}, _shifts(None, None, "delta"), rgb=True),
    "random_hsv": Colouring(
        3,
        {"hue_delta": _DELTA, "saturation_delta": _DELTA, "value_delta": _DELTA, **RATE},
        _shifts("hue_delta", "saturation_delta", "value_delta"),
        rgb=True,
    ),
    "random_rgb_to_hsv": Colouring(0, SELDOM, _planes, rgb=True),
    "random_rgb_to_grayscale": Colouring(0, SELDOM, _grey, rgb=True),
    "random_photometric": Colouring(
        11,
        {
            "brightness_delta": Number(0, 255, 32.0),
            "contrast_range": Interval(0, 10, "a factor", (0.5, 1.5)),
            "saturation_range": Interval(0, 10, "a factor", (0.5, 1.5)),
            "hue_delta": Number(0, 180, 18.0),
            "channel_swap": Flag(True),
            **RATE,
        },
        _photometric,
        rgb=True,
    ),
}
