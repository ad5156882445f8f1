"""Random geometry: each augmentation turns numbers drawn from [0, 1) into one matrix an image, a whole batch at once.

A function here takes its arguments, uniform numbers [B, draws] and the input's (H, W), and returns float64 [B, 3, 3]
from input to input, in pixels, about the centre of the input. So a rotation is a rotation on inputs of any shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from stm32pose.transforms import geometry
from stm32pose.transforms.arguments import RATE, Argument, Choice, Interval, Number, Spread
from stm32pose.transforms.geometry import Size
from stm32pose.transforms.operations import Geometric, between

TURN = 2 * np.pi
FLIP_MODES = ("horizontal", "vertical", "horizontal_and_vertical")


def flip(arguments: Mapping[str, Any], uniform: np.ndarray, size: Size) -> np.ndarray:
    """Mirror; the mode horizontal_and_vertical picks left-right, top-bottom or both, a third each."""
    mode, pick = arguments["mode"], (uniform[:, 0] * 3).astype(int)
    both = mode == "horizontal_and_vertical"
    horizontal = np.where(both, pick != 1, mode == "horizontal")
    vertical = np.where(both, pick != 0, mode == "vertical")
    return geometry.flip_matrix(size, horizontal, vertical)


def rotate(arguments: Mapping[str, Any], uniform: np.ndarray, size: Size) -> np.ndarray:
    """2D: counter-clockwise by factor turns. 3D: about all three axes, each angle from the same interval."""
    angles = TURN * between(arguments["factor"], uniform)
    if arguments["rotation_type"] == "3D":
        return geometry.tilt(angles[:, 1], angles[:, 2], angles[:, 0], _centre(size))
    return geometry.rotation(angles[:, 0], _centre(size))


def zoom(arguments: Mapping[str, Any], uniform: np.ndarray, size: Size) -> np.ndarray:
    """Distances times 1 / (1 + factor): a positive factor zooms out. One factor alone serves both axes."""
    width, height = arguments["width_factor"], arguments["height_factor"]
    if width is None or height is None:
        x = y = between(width or height or (0.0, 0.0), uniform[:, 0])
    else:
        x, y = between(width, uniform[:, 0]), between(height, uniform[:, 1])
    return geometry.scaling(1 / (1 + x), 1 / (1 + y), _centre(size))


def translate(arguments: Mapping[str, Any], uniform: np.ndarray, size: Size) -> np.ndarray:
    """Shift right and down by shares of the input's width and height."""
    x = size[1] * between(arguments["width_factor"], uniform[:, 0])
    y = size[0] * between(arguments["height_factor"], uniform[:, 1])
    return geometry.translation(x, y)


def shear(arguments: Mapping[str, Any], uniform: np.ndarray, size: Size) -> np.ndarray:
    """Lean along x and along y, each by an angle of its own, in turns."""
    angles = TURN * between(arguments["factor"], uniform)
    return geometry.shear(angles[:, 0], angles[:, 1], _centre(size))


def shear_x(arguments: Mapping[str, Any], uniform: np.ndarray, size: Size) -> np.ndarray:
    """Lean along x alone, by an angle in turns."""
    return geometry.shear(TURN * between(arguments["factor"], uniform[:, 0]), 0.0, _centre(size))


def shear_y(arguments: Mapping[str, Any], uniform: np.ndarray, size: Size) -> np.ndarray:
    """Lean along y alone, by an angle in turns."""
    return geometry.shear(0.0, TURN * between(arguments["factor"], uniform[:, 0]), _centre(size))


def crop(arguments: Mapping[str, Any], uniform: np.ndarray, size: Size) -> np.ndarray:
    """A part of the input enlarged to the whole of it; a part that would reach past the edge is moved inside."""
    width, height = between(arguments["crop_width"], uniform[:, 0]), between(arguments["crop_height"], uniform[:, 1])
    x = np.clip(between(arguments["crop_center_x"], uniform[:, 2]), width / 2, 1 - width / 2)
    y = np.clip(between(arguments["crop_center_y"], uniform[:, 3]), height / 2, 1 - height / 2)
    left, top = size[1] * (x - width / 2), size[0] * (y - height / 2)
    return geometry.scaling(1 / width, 1 / height) @ geometry.translation(-left, -top)


def _centre(size: Size) -> tuple[float, float]:
    return size[1] / 2, size[0] / 2


def fill_arguments(mode: str) -> dict[str, Argument]:
    """What an augmentation that shows the outside takes, besides its change rate."""
    return {
        "fill_mode": Choice(tuple(geometry.BORDERS), mode),
        "fill_value": Number(-1e6, 1e6, 0.0),
        "interpolation": Choice(("bilinear", "nearest"), "bilinear"),
        **RATE,
    }


_CROP_CENTRE = Interval(0, 1, "a share of the size", (0.25, 0.75))
_CROP_SIDE = Interval(0.1, 1, "a share of the size", (0.6, 0.9))
_SHEAR = {"factor": Spread(-0.2, 0.2, "a share of a turn"), **fill_arguments("reflect")}

GEOMETRIC: dict[str, Geometric] = {
    "random_flip": Geometric(1, {"mode": Choice(FLIP_MODES), "change_rate": Number(0, 1, 0.5)}, flip),
    "random_rotation": Geometric(
        3,
        {
            "factor": Spread(-1, 1, "a share of a turn"),
            "rotation_type": Choice(("2D", "3D"), "2D"),
            **fill_arguments("constant"),
        },
        rotate,
    ),
    "random_zoom": Geometric(
        2,
        {
            "width_factor": Spread(-0.9, 10, "a share of the size", most=0.9, default=None),
            "height_factor": Spread(-0.9, 10, "a share of the size", most=0.9, default=None),
            **fill_arguments("reflect"),
        },
        zoom,
    ),
    "random_translation": Geometric(
        2,
        {
            "width_factor": Spread(-1, 1, "a share of the width"),
            "height_factor": Spread(-1, 1, "a share of the height"),
            **fill_arguments("reflect"),
        },
        translate,
    ),
    "random_crop": Geometric(
        4,
        {
            "crop_center_x": _CROP_CENTRE,
            "crop_center_y": _CROP_CENTRE,
            "crop_width": _CROP_SIDE,
            "crop_height": _CROP_SIDE,
            "interpolation": Choice(("bilinear", "nearest"), "bilinear"),
            "change_rate": Number(0, 1, 0.9),
        },
        crop,
    ),
    "random_shear": Geometric(2, _SHEAR, shear),
    "random_shear_x": Geometric(1, _SHEAR, shear_x),
    "random_shear_y": Geometric(1, _SHEAR, shear_y),
}


def faults(name: str, arguments: Mapping[str, Any]) -> str | None:
    """What no single argument can tell is wrong with several, or None."""
    if name == "random_zoom" and arguments["width_factor"] is None and arguments["height_factor"] is None:
        return "width_factor: missing; give it, height_factor, or both"
    if name == "random_rotation" and arguments["rotation_type"] == "3D" and max(map(abs, arguments["factor"])) > 0.2:
        return (
            f"factor: got {arguments['factor']} with rotation_type 3D; allowed -0.2 to 0.2 (edge-on, nothing is seen)"
        )
    return None
