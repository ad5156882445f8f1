"""Labels of all samples in a few flat arrays, so that a batch of them is moved by one matrix product."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stm32pose.data.sample import Sample
from stm32pose.transforms.labels import MovingLabels


class Labels:
    """Keypoints, boxes and areas of the instances of `samples`, groups (`crowd`) left out."""

    def __init__(self, samples: Sequence[Sample]):
        kept = [~np.asarray(sample.crowd, dtype=bool) for sample in samples]
        self._keypoints = _joined([sample.keypoints[rows] for sample, rows in zip(samples, kept, strict=True)], (0, 3))
        self._boxes = _joined([sample.boxes[rows] for sample, rows in zip(samples, kept, strict=True)], (4,))
        self._areas = _joined([sample.areas[rows] for sample, rows in zip(samples, kept, strict=True)], ())
        self._counts = np.array([int(rows.sum()) for rows in kept], dtype=np.int64)
        self._starts = np.cumsum(self._counts) - self._counts

    def of(self, indices: np.ndarray, matrices: np.ndarray, flip: np.ndarray | None) -> MovingLabels:
        """Labels of a batch, on their way into the input.

        Args:
            indices: int64 [B] into the samples.
            matrices: float64 [B, 3, 3], image to input.
            flip: int64 [K], for each keypoint the one that takes its place in a mirrored image.
        """
        counts = self._counts[indices]
        owner = np.repeat(np.arange(len(indices)), counts)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = self._starts[indices][owner] + place
        return MovingLabels(self._keypoints[rows], self._boxes[rows], self._areas[rows], owner, matrices, flip)


def _joined(parts: Sequence[np.ndarray], row: tuple[int, ...]) -> np.ndarray:
    """All rows in one float32 array; `row` is the shape of a row where there is none."""
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros((0, *row), dtype=np.float32)
