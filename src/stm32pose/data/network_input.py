"""One image to the network's input, to the very pixels that `Pipeline` makes in evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from stm32pose.config.data_sections import Preprocessing
from stm32pose.data.cache import cache_side, load_reduced, plan_image
from stm32pose.data.sample import Sample
from stm32pose.transforms.geometry import Size, fit_matrix, invert, warp


class NetworkInput:
    """Fits images of any size into a network's input.

    Args:
        input_shape: (H, W, C) of the network's input.
        preprocessing: fit, interpolation and colour mode; rescaling is the runner's.
    """

    def __init__(self, input_shape: Sequence[int], preprocessing: Preprocessing):
        self._size: Size = (int(input_shape[0]), int(input_shape[1]))
        self._side = cache_side(self._size)
        self._resizing = preprocessing.resizing
        self._mode = preprocessing.color_mode

    @property
    def black(self) -> np.ndarray:
        """uint8 [1, H, W, C]: an input of zeros with the channels of the colour mode."""
        return np.zeros((1, *self._size, 1 if self._mode == "grayscale" else 3), np.uint8)

    def fit(self, image: np.ndarray, path: Path | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The image as the network sees it.

        A large JPEG is decoded a second time, at a fraction of its size, because the pipeline reads it that way: a
        network of integers answers to a pixel that differs by one.

        Args:
            image: uint8 [H, W, 3] RGB.
            path: the file it was decoded from; None for a frame of a video or a camera.

        Returns:
            (input, matrix): uint8 [h, w, C], channels in the order of the colour mode, and float64 [3, 3], image to
            input pixels.

        Raises:
            UserError: the file has changed since `image` was read.
        """
        sample = _unlabelled(path or Path("frame"), image.shape[:2])
        plan = plan_image(sample, self._side)
        if plan.reduce > 1:
            reduced = load_reduced(sample, plan)
        elif plan.size != image.shape[:2]:
            reduced = cv2.resize(image, plan.size[::-1], interpolation=cv2.INTER_AREA)
        else:
            reduced = image
        if self._mode == "grayscale":
            reduced = cv2.cvtColor(reduced, cv2.COLOR_RGB2GRAY)
        matrix = fit_matrix(sample.size, self._size, self._resizing.aspect_ratio)
        fill_mode = "constant" if self._resizing.aspect_ratio == "padding" else "nearest"
        drawn = warp(
            reduced, matrix @ invert(plan.matrix), self._size, self._resizing.interpolation, fill_mode=fill_mode
        )
        if self._mode == "bgr":
            drawn = cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)
        return drawn.reshape(*self._size, -1), matrix


def _unlabelled(path: Path, size: tuple[int, ...]) -> Sample:
    return Sample(
        image=path,
        size=(int(size[0]), int(size[1])),
        keypoints=np.zeros((0, 0, 3), np.float32),
        boxes=np.zeros((0, 4), np.float32),
        areas=np.zeros(0, np.float32),
        crowd=np.zeros(0, dtype=bool),
        image_id=0,
    )
