"""`Poses`: what a codec found in one image, whether one person or twenty, and the way back to the original image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Poses:
    """What was found in one image, best first. M may be 0.

    Attributes:
        keypoints: float32 [M, K, 3], (x, y, score), continuous pixels of the frame (the network's input, or the image).
        scores: float32 [M], 0..1, of the whole pose.
        boxes: float32 [M, 4], (left, top, width, height) in the same frame; None where the network gives none.
        names: one a pose where the network tells a class ("left", "right" of hands), else empty.
    """

    keypoints: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray | None = None
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.keypoints)


def poses_in_image(poses: Poses, matrix: np.ndarray) -> Poses:
    """Poses of the network's input brought back into the original image.

    Args:
        poses: in input pixels.
        matrix: float64 [3, 3], image to input, as `data.pipeline.Batch.matrices` has them; it is undone here.

    Returns:
        The same poses in image pixels. A box stays upright: it is the extent of its four corners in the image.
    """
    inverse = np.linalg.inv(np.asarray(matrix, np.float64))
    keypoints = np.concatenate([_moved(poses.keypoints[..., :2], inverse), poses.keypoints[..., 2:]], axis=-1)
    boxes = poses.boxes
    if boxes is not None:
        corners = boxes[:, None, :2] + boxes[:, None, 2:] * np.array([[0, 0], [1, 0], [0, 1], [1, 1]])  # [M, 4, 2]
        corners = _moved(corners, inverse)
        low = corners.min(axis=1)
        boxes = np.concatenate([low, corners.max(axis=1) - low], axis=-1).astype(np.float32)
    return Poses(keypoints.astype(np.float32), poses.scores, boxes, poses.names)


def one_person(poses: np.ndarray) -> list[Poses]:
    """[B, 1, K, 3] of a network for one person -> one `Poses` an image; a pose scores the mean of its keypoints."""
    poses = np.asarray(poses, np.float32)
    scores = poses[..., 2].mean(axis=-1)  # [B, 1]
    return [Poses(keypoints, score) for keypoints, score in zip(poses, scores, strict=True)]


def no_poses(keypoints: int, *, boxes: bool = False) -> Poses:
    """Nothing was found in an image, of K `keypoints` a pose."""
    empty = np.zeros((0, 4), np.float32) if boxes else None
    return Poses(np.zeros((0, keypoints, 3), np.float32), np.zeros(0, np.float32), empty)


def extents(poses: np.ndarray) -> np.ndarray:
    """float32 [M, 4], (left, top, width, height): the smallest boxes around the keypoints of [M, K, 2 or more]."""
    low, high = poses[..., :2].min(axis=1), poses[..., :2].max(axis=1)
    return np.concatenate([low, high - low], axis=-1).astype(np.float32)


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """[..., 2] -> float64 [..., 2] through a 3x3 affine matrix."""
    return np.asarray(points, np.float64) @ matrix[:2, :2].T + matrix[:2, 2]
