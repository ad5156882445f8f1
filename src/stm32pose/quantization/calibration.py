"""Which images calibrate the quantizer, and how they reach it: one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

import numpy as np

from stm32pose.config.data_sections import Dataset
from stm32pose.data.sample import Sample
from stm32pose.errors import ConfigError, UserError

AHEAD = 256
"""Calibration images read before a silenced converter starts."""
PARITY_IMAGES = 16
"""Calibration images on which float and quantized outputs are compared."""
FAKE_IMAGES = 16
FAKE_SET = "RANDOM IMAGES (fake)"
"""What reports say where the images are made up."""


def calibration_images(samples: Sequence[Sample], dataset: Dataset) -> list[Sample]:
    """The calibration images, spread evenly over `samples`.

    `quantization_split` counts images, rounded, never fewer than one; null or 0 takes all, at most
    `quantization_images`.

    Raises:
        ConfigError: there is no image to calibrate with.
    """
    if not samples:
        raise ConfigError(
            "dataset.quantization_path: no image to calibrate with; "
            "give dataset.quantization_path or dataset.training_path"
        )
    if dataset.quantization_split:
        wanted = max(1, round(dataset.quantization_split * len(samples)))
    else:
        wanted = min(len(samples), dataset.quantization_images)
    return [samples[index] for index in spread(len(samples), wanted)]


def spread(count: int, wanted: int) -> list[int]:
    """`wanted` of `count` indices, ascending, spread evenly."""
    return [int(index) for index in np.floor((np.arange(wanted) + 0.5) * count / wanted)]


def fake_images(shape: tuple[int, int, int], *, count: int = FAKE_IMAGES, seed: int = 0) -> np.ndarray:
    """Random pictures with soft shapes, uint8 [count, H, W, C], each from 0 to 255: no data, but real pixels.

    Noise of single pixels averages out in the first convolutions and gives ranges far too small; smoothed at several
    scales it has edges and even surfaces as pictures have.
    """
    import cv2

    height, width, channels = shape
    random = np.random.default_rng(seed)
    images = np.empty((count, height, width, channels), np.uint8)
    for index in range(count):
        picture = np.zeros((height, width, channels))
        for cells in (3, 8, 24):
            coarse = random.normal(size=(min(cells, height), min(cells, width), channels))
            picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).reshape(picture.shape) / cells
        low, high = picture.min(), picture.max()
        images[index] = np.rint((picture - low) * (255 / max(high - low, 1e-9)))
    return images


class Calibration:
    """Calibration batches, one image at a time, as the network gets them.

    The first images are read at once, so that a converter that silences the process does not hide the caller's
    progress; the others while they are used.

    Args:
        batches: uint8 [B, H, W, C], pixels; read once.
        shape: (H, W, C) of the network's input.
        rescaling: (scale, offset): what the network gets is scale * pixel + offset.
        ahead: images read at once.
        total: how many images will come, where that is known.
        keep: how many of them are kept.

    Attributes:
        count: images read so far; `digest` is the SHA-256 of all of them, rescaled.
        kept: some of the images read so far, uint8 [H, W, C] each, for comparing outputs: spread over all (`spread`)
            where `total` is known, else over those read ahead.

    Raises:
        ConfigError: no image, or images that do not suit the network.
    """

    def __init__(
        self,
        batches: Iterable[np.ndarray],
        shape: tuple[int, ...],
        rescaling: tuple[float, float],
        *,
        ahead: int = AHEAD,
        total: int | None = None,
        keep: int = PARITY_IMAGES,
    ) -> None:
        self._shape = tuple(shape)
        self._rescaling = rescaling
        self._digest = hashlib.sha256()
        self.kept: list[np.ndarray] = []
        self._keep = set(spread(total, min(keep, total))) if total else set()
        self.count = 0
        self._later = self._images(batches)
        self._first = [image.copy() for image in islice(self._later, max(ahead, 1))]  # a view keeps its whole batch
        if not self._first:
            raise ConfigError("dataset: no image to calibrate with; int8 needs the ranges that real inputs give")
        if not total:
            wanted = min(keep, len(self._first))
            self.kept = [self._first[index] for index in spread(len(self._first), wanted)]

    def __iter__(self) -> Iterator[np.ndarray]:
        """float32 [1, H, W, C] each; those read ahead come again in a second round."""
        for image in chain(self._first, self._later):
            yield rescale(image[None], self._rescaling)

    def _images(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for batch in batches:
            batch = np.asarray(batch)
            if batch.dtype != np.uint8:
                raise UserError(f"calibration: got {batch.dtype} images; pixels are uint8")
            if batch.ndim != 4 or batch.shape[1:] != self._shape:
                raise ConfigError(
                    f"calibration: got images of shape {list(batch.shape)}, the model takes {list(self._shape)}"
                )
            for image in batch:
                self._digest.update(rescale(image, self._rescaling).tobytes())
                if self.count in self._keep:
                    self.kept.append(image.copy())
                self.count += 1
                yield image

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()


def rescale(pixels: np.ndarray, rescaling: tuple[float, float]) -> np.ndarray:
    """float32 scale * pixel + offset."""
    scale, offset = rescaling
    return np.ascontiguousarray(pixels.astype(np.float32) * np.float32(scale) + np.float32(offset))
