"""Erasing: rectangles of the input painted over. Keypoints under them are cleared by `labels.MovingLabels.cover`."""

from __future__ import annotations

import cv2
import numpy as np

from stm32pose.transforms.arguments import RATE, Argument, Choice, Colour, Counts, Interval, Number
from stm32pose.transforms.geometry import Size
from stm32pose.transforms.noise import MODES, generator
from stm32pose.transforms.operations import Arguments, Covering, between, whole_between

FILLS = ("uniform", "random", "mosaic")
COVERED = ("unlabelled", "occluded")


def erase(image: np.ndarray, strength: tuple[np.ndarray, str, tuple[int, int, int] | None, float]) -> None:
    """Paint rectangles, in place.

    Args:
        image: uint8 [H, W, C].
        strength: (rectangles int [R, 4] as (left, top, right, bottom), how, colour, seed). `uniform` paints the RGB
            colour (None: black), `random` a colour of its own for each, `mosaic` a colour of its own for each pixel;
            the seed, a number of [0, 1), decides which.
    """
    rectangles, how, colour, seed = strength
    channels = image.shape[2]
    rng = None if how == "uniform" else generator(seed)
    for left, top, right, bottom in rectangles.tolist():
        if rng is not None and how == "mosaic":
            shape = (bottom - top, right - left, channels)
            image[top:bottom, left:right] = rng.integers(0, 256, shape, dtype=np.uint8)
            continue
        level = colour or (0, 0, 0) if rng is None else rng.integers(0, 256, 3).tolist()
        if channels == 1:
            level = (round(0.299 * level[0] + 0.587 * level[1] + 0.114 * level[2]),)
        cv2.rectangle(image, (left, top), (right - 1, bottom - 1), level, -1)


PIXELS = {"erase": erase}


def rectangles_of(arguments: Arguments, uniform: np.ndarray, size: Size) -> np.ndarray:
    """Rectangles of a random area and shape, each whole inside the input unless it is larger."""
    count, numbers = _count(arguments["nrec"], uniform)
    area = between(arguments["area"], numbers[..., 0]) * size[0] * size[1]
    ratio = between(arguments["wh_ratio"], numbers[..., 1])
    return _placed(np.sqrt(area * ratio), np.sqrt(area / ratio), numbers[..., 2:], size, count)


def holes_of(arguments: Arguments, uniform: np.ndarray, size: Size) -> np.ndarray:
    """Rectangles of random shares of the input's sides."""
    count, numbers = _count(arguments["holes"], uniform)
    width = between(arguments["width"], numbers[..., 0]) * size[1]
    height = between(arguments["height"], numbers[..., 1]) * size[0]
    return _placed(width, height, numbers[..., 2:], size, count)


def cells_of(arguments: Arguments, uniform: np.ndarray, size: Size) -> np.ndarray:
    """The cells of a grid that a number below `erasing_prob` chose, row by row.

    A grid finer than the input has cells without a pixel: they are zeros, as those that were not chosen.
    """
    across, down = arguments["ncells_x"], arguments["ncells_y"]
    x = np.rint(np.linspace(0, size[1], across + 1)).astype(np.int64)
    y = np.rint(np.linspace(0, size[0], down + 1)).astype(np.int64)
    left, top = np.tile(x[:-1], down), np.repeat(y[:-1], across)
    cells = np.stack([left, top, np.tile(x[1:], down), np.repeat(y[1:], across)], axis=1)
    some = (cells[:, 2] > cells[:, 0]) & (cells[:, 3] > cells[:, 1])
    chosen = (uniform[:, :-1] < arguments["erasing_prob"]) & some
    return np.where(chosen[..., None], cells, 0)


def _count(counts: tuple[int, int], uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of the rectangles are there, [b], and four numbers for each of the most there can be, [b, R, 4]."""
    return whole_between(counts, uniform[:, 0]), uniform[:, 1:-1].reshape(len(uniform), -1, 4)


def _placed(width: np.ndarray, height: np.ndarray, place: np.ndarray, size: Size, count: np.ndarray) -> np.ndarray:
    sides = np.stack([np.clip(np.rint(width), 1, size[1]), np.clip(np.rint(height), 1, size[0])], axis=-1)
    start = np.floor(place * ((size[1], size[0]) - sides + 1))
    rectangles = np.concatenate([start, start + sides], axis=-1).astype(np.int64)
    there = np.arange(rectangles.shape[1]) < count[:, None]
    return np.where(there[..., None], rectangles, 0)


def _paint(method: str) -> dict[str, Argument]:
    return {
        "fill_method": Choice(FILLS, method),
        "color": Colour(None),
        "covered": Choice(COVERED, "unlabelled"),
    }


COVERING: dict[str, Covering] = {
    "random_rectangle_erasing": Covering(
        lambda arguments: 4 * arguments["nrec"][1] + 2,
        {
            "nrec": Counts(0, 100, (1, 1)),
            "area": Interval(0, 1, "a share of the input", (0.05, 0.4)),
            "wh_ratio": Interval(0.01, 100, "a width over a height", (0.3, 2.0)),
            **_paint("random"),
            "mode": Choice(MODES, "image"),
            **RATE,
        },
        rectangles_of,
    ),
    "random_grid_cell_erasing": Covering(
        lambda arguments: arguments["ncells_x"] * arguments["ncells_y"] + 1,
        {
            "ncells_x": Number(1, 100, 5, whole=True),
            "ncells_y": Number(1, 100, 5, whole=True),
            "erasing_prob": Number(0, 1, 0.2),
            **_paint("uniform"),
            **RATE,
        },
        cells_of,
    ),
    "random_coarse_dropout": Covering(
        lambda arguments: 4 * arguments["holes"][1] + 2,
        {
            "holes": Counts(0, 100, (1, 1)),
            "width": Interval(0, 1, "a share of the width", (0.2, 0.4)),
            "height": Interval(0, 1, "a share of the height", (0.2, 0.4)),
            **_paint("uniform"),
            "change_rate": Number(0, 1, 0.5),
        },
        holes_of,
    ),
}
