"""Labels of all samples in a few flat arrays, so that a batch of them is moved by one matrix product."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stm32pose.data.sample import HIDDEN, Sample
from stm32pose.transforms.geometry import Size, clip_boxes, determinant, transform_boxes, transform_points


class Labels:
    """Keypoints, boxes and areas of the instances of `samples`, groups (`crowd`) left out."""

    def __init__(self, samples: Sequence[Sample]):
        kept = [~np.asarray(sample.crowd, dtype=bool) for sample in samples]
        self._keypoints = _joined([sample.keypoints[rows] for sample, rows in zip(samples, kept, strict=True)], (0, 3))
        self._boxes = _joined([sample.boxes[rows] for sample, rows in zip(samples, kept, strict=True)], (4,))
        self._areas = _joined([sample.areas[rows] for sample, rows in zip(samples, kept, strict=True)], ())
        self._counts = np.array([int(rows.sum()) for rows in kept], dtype=np.int64)
        self._starts = np.cumsum(self._counts) - self._counts

    def moved(
        self, indices: np.ndarray, matrices: np.ndarray, size: Size, mirrored: np.ndarray, flip: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Labels of a batch in input pixels.

        Args:
            indices: int64 [B] into the samples.
            matrices: float64 [B, 3, 3], image to input.
            size: (H, W) of the input.
            mirrored: bool [B], where left and right change places.
            flip: int64 [K], for each keypoint the one that takes its place.

        Returns:
            keypoints float32 [B, N, K, 3], boxes [B, N, 4], areas [B, N]; N is the largest count of instances, at
            least 1, rows of zeros fill up. A keypoint outside the input, or not labelled, is (0, 0, 0). Boxes are
            upright hulls cut at the input's edge; areas follow the matrix and lose the same share as their box.
        """
        counts = self._counts[indices]
        owner = np.repeat(np.arange(len(indices)), counts)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = self._starts[indices][owner] + place
        shape = (len(indices), max(1, int(counts.max(initial=0))))
        keypoints_input = np.zeros((*shape, *self._keypoints.shape[1:]), dtype=np.float32)
        boxes_input = np.zeros((*shape, 4), dtype=np.float32)
        areas_input = np.zeros(shape, dtype=np.float32)

        keypoints, matrix = self._keypoints[rows], matrices[owner]
        points = transform_points(matrix[:, None], keypoints[..., :2].astype(np.float64))
        inside = ((points >= 0) & (points < (size[1], size[0]))).all(axis=-1) & (keypoints[..., 2] != HIDDEN)
        found = np.where(inside[..., None], np.concatenate([points, keypoints[..., 2:]], axis=-1), 0.0)
        if flip is not None:
            found = np.where(mirrored[owner, None, None], found[:, flip], found)
        keypoints_input[owner, place] = found

        hulls = transform_boxes(matrix, self._boxes[rows])
        boxes = clip_boxes(hulls, size)
        whole, seen = hulls[:, 2] * hulls[:, 3], boxes[:, 2] * boxes[:, 3]
        share = np.divide(seen, whole, out=np.zeros_like(whole), where=whole > 0)
        boxes_input[owner, place] = boxes
        areas_input[owner, place] = self._areas[rows] * np.abs(determinant(matrix)) * share
        return keypoints_input, boxes_input, areas_input


def _joined(parts: Sequence[np.ndarray], row: tuple[int, ...]) -> np.ndarray:
    """All rows in one float32 array; `row` is the shape of a row where there is none."""
    return np.concatenate(parts).astype(np.float32) if parts else np.zeros((0, *row), dtype=np.float32)
