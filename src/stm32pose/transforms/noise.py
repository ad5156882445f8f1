"""Random numbers inside an image: sensor noise, and the generators from which fillings and users' functions draw."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import cv2
import numpy as np

from stm32pose.transforms.arguments import Choice, Interval, Number
from stm32pose.transforms.operations import Arguments, Colouring, Steps, between

MODES = ("image", "batch")
_BANK = 1 << 21
_STEPS = 32


def generator(uniform: float) -> np.random.Generator:
    """A generator of its own for a number of [0, 1): the same number, the same draws, on every thread and machine."""
    return np.random.Generator(np.random.SFC64(int(uniform * 2**53)))


def add_noise(image: np.ndarray, strength: tuple[float, float]) -> None:
    """Add normal noise, in place.

    Drawing 100,000 normal numbers takes four times as long as warping the image, so they are cut from two million that
    are drawn once, at a place of its own for each image. Those are bytes, 32 to the standard deviation, so that one
    pass over bytes adds them; none is further than four standard deviations away.

    Args:
        image: uint8 [H, W, C], contiguous, overwritten.
        strength: standard deviation in levels (of 255), and a number of [0, 1) for the place.
    """
    deviation, place = strength
    flat = image.reshape(image.shape[0], -1)
    factor = deviation / _STEPS
    noise = _bytes(flat.size, place).reshape(flat.shape)
    cv2.addWeighted(flat, 1.0, noise, factor, -128 * factor, dst=flat)


def _bytes(count: int, place: float) -> np.ndarray:
    """`count` normal numbers as 128 + 32 times the number, uint8."""
    bank = _bank()
    start = int(place * len(bank))
    if start + count <= len(bank):
        return bank[start : start + count]
    return np.take(bank, np.arange(start, start + count), mode="wrap")


@cache
def _bank() -> np.ndarray:
    normal = np.random.Generator(np.random.SFC64(20)).standard_normal(_BANK, dtype=np.float32)
    bank = np.clip(np.rint(128 + _STEPS * normal), 0, 255).astype(np.uint8)
    bank.flags.writeable = False
    return bank


def _noise(arguments: Arguments, uniform: np.ndarray) -> list[Steps]:
    deviations = 255 * between(arguments["stddev"], uniform[:, 0])
    strengths = zip(deviations.tolist(), uniform[:, 1].tolist(), strict=True)
    return [(("noise", strength),) for strength in strengths]


PIXELS: dict[str, Callable[[np.ndarray, Any], None]] = {"noise": add_noise}

NOISES: dict[str, Colouring] = {
    "random_gaussian_noise": Colouring(
        2,
        {
            "stddev": Interval(0, 1, "a share of the whole range of pixels"),
            "mode": Choice(MODES, "image"),
            "change_rate": Number(0, 1, 0.5),
        },
        _noise,
        bound=True,
        shared=1,
    ),
}
