"""Two pictures in one input, a person in each: beside each other where the input is wide, else one above the other."""

from __future__ import annotations

import numpy as np

from stm32pose.transforms import geometry
from stm32pose.transforms.affine import fill_arguments
from stm32pose.transforms.arguments import Choice, Interval, Number
from stm32pose.transforms.geometry import Size
from stm32pose.transforms.labels import People
from stm32pose.transforms.operations import Arguments, Joining, between

MARGIN = 1.25
"""Sides of the part that is wanted over those of the person's box."""
LABELS = ("largest", "all")


def halves(arguments: Arguments, uniform: np.ndarray, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """(left, top, right, bottom) of the image's own part and of the other's, int64 [b, 4] each; whole pixels."""
    height, width = size
    wide, count = width >= height, len(uniform)
    longer = width if wide else height
    split = np.clip(np.rint(between(arguments["share"], uniform[:, 0]) * longer).astype(np.int64), 1, longer - 1)
    zeros, right, bottom = np.zeros(count, np.int64), np.full(count, width), np.full(count, height)
    first = np.stack([zeros, zeros, split if wide else right, bottom if wide else split], axis=1)
    second = np.stack([split if wide else zeros, zeros if wide else split, right, bottom], axis=1)
    leads = (uniform[:, 1] < 0.5)[:, None]
    return np.where(leads, first, second), np.where(leads, second, first)


def into_windows(people: People, windows: np.ndarray, size: Size) -> np.ndarray:
    """Matrices that bring each person whole into the middle of a window, float64 [b, 3, 3].

    People are made smaller where they must, never larger; where nobody is labelled the middle of the image serves.
    """
    sides = windows[:, 2:] - windows[:, :2]
    middle = (windows[:, 2:] + windows[:, :2]) / 2
    wanted = np.maximum(np.where(people.found[:, None], people.boxes[:, 2:] * MARGIN, 1.0), 1e-6)
    centre = np.where(people.found[:, None], people.boxes[:, :2] + people.boxes[:, 2:] / 2, (size[1] / 2, size[0] / 2))
    factor = np.minimum((sides / wanted).min(axis=1), 1.0)
    shift = middle - factor[:, None] * centre
    return geometry.affine(factor, 0.0, 0.0, factor, shift[:, 0], shift[:, 1])


JOINING: dict[str, Joining] = {
    "random_mosaic": Joining(
        3,
        {
            "share": Interval(0.2, 0.8, "a share of the longer side", (0.4, 0.6)),
            "labels": Choice(LABELS, "largest"),
            **fill_arguments("constant"),
            "change_rate": Number(0, 1, 0.3),
        },
        halves,
    ),
}
