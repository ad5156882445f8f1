"""Geometry that goes by the person: a look at one half of the body, and a random place, size and turn of the whole.

After MMPose's RandomHalfBody and RandomBBoxTransform. Where nobody is labelled the image stays as it is.
"""

from __future__ import annotations

import numpy as np

from stm32pose.transforms import geometry
from stm32pose.transforms.affine import TURN, fill_arguments
from stm32pose.transforms.arguments import Interval, Number, Spread
from stm32pose.transforms.geometry import Size
from stm32pose.transforms.labels import People
from stm32pose.transforms.operations import Arguments, PersonGeometric, between

CLOSEST = 4.0
"""Most that half a body is enlarged: beyond it the image shows nothing new."""


def half_body(arguments: Arguments, uniform: np.ndarray, size: Size, people: People) -> np.ndarray:
    """The upper or the lower half of the body in the middle of the input, as large as fits, its shape kept.

    `arguments["upper_body"]`: bool [K], the other keypoints are the lower half. A person with few labelled keypoints
    stays; a half with too few of them is not chosen.
    """
    upper = arguments["upper_body"]
    least = arguments["min_total_keypoints"] or -(-people.labelled.shape[1] // 2)
    above, below = people.labelled & upper, people.labelled & ~upper
    enough_above = above.sum(axis=1) >= arguments["min_upper_keypoints"]
    enough_below = below.sum(axis=1) >= arguments["min_lower_keypoints"]
    takes_above = enough_above & ((uniform[:, 0] < arguments["upper_rate"]) | ~enough_below)
    goes = (people.labelled.sum(axis=1) >= least) & (enough_above | enough_below)
    joints = np.where(takes_above[:, None], above, below) & goes[:, None]
    low = np.where(joints[..., None], people.points, np.inf).min(axis=1)
    high = np.where(joints[..., None], people.points, -np.inf).max(axis=1)
    low, high = np.where(goes[:, None], low, 0.0), np.where(goes[:, None], high, 1.0)
    extent = np.maximum(high - low, 1e-6) * arguments["padding"]
    factor = np.minimum((np.array([size[1], size[0]]) / extent).min(axis=1), CLOSEST)
    centre = (low + high) / 2
    shift = np.array([size[1] / 2, size[0] / 2]) - factor[:, None] * centre
    matrices = geometry.affine(factor, 0.0, 0.0, factor, shift[:, 0], shift[:, 1])
    return np.where(goes[:, None, None], matrices, np.eye(3))


def person_scale(arguments: Arguments, uniform: np.ndarray, size: Size, people: People) -> np.ndarray:
    """Size and turn about the middle of the person's box, then a shift by shares of the box."""
    centre = people.boxes[:, :2] + people.boxes[:, 2:] / 2

    def drawn(column: int, name: str, without: float) -> np.ndarray:
        values = between(arguments[f"{name}_factor"], uniform[:, column])
        return np.where(uniform[:, column + 1] < arguments[f"{name}_rate"], values, without)

    scale, angle = drawn(0, "scale", 1.0), TURN * drawn(2, "rotate", 0.0)
    shifts = between(arguments["shift_factor"], uniform[:, 4:6]) * people.boxes[:, 2:]
    shifts = np.where(uniform[:, 6:] < arguments["shift_rate"], shifts, 0.0)
    back = geometry.translation(centre[:, 0] + shifts[:, 0], centre[:, 1] + shifts[:, 1])
    matrices = back @ geometry.rotation(angle) @ geometry.scaling(scale, scale)
    matrices = matrices @ geometry.translation(-centre[:, 0], -centre[:, 1])
    return np.where(people.found[:, None, None], matrices, np.eye(3))


PERSONAL: dict[str, PersonGeometric] = {
    "random_half_body": PersonGeometric(
        1,
        {
            "min_total_keypoints": Number(1, 1000, None, whole=True),
            "min_upper_keypoints": Number(1, 1000, 2, whole=True),
            "min_lower_keypoints": Number(1, 1000, 3, whole=True),
            "padding": Number(1, 10, 1.5),
            "upper_rate": Number(0, 1, 0.7),
            **fill_arguments("constant"),
            "change_rate": Number(0, 1, 0.3),
        },
        half_body,
        skeleton=True,
    ),
    "random_person_scale": PersonGeometric(
        7,
        {
            "scale_factor": Interval(0.1, 10, "a factor of the person's size", (0.5, 1.5)),
            "scale_rate": Number(0, 1, 1.0),
            "rotate_factor": Spread(-1, 1, "a share of a turn", default=(-80 / 360, 80 / 360)),
            "rotate_rate": Number(0, 1, 0.6),
            "shift_factor": Spread(-2, 2, "a share of the person's box", default=(-0.16, 0.16)),
            "shift_rate": Number(0, 1, 0.3),
            **fill_arguments("constant"),
        },
        person_scale,
    ),
}
