"""Boxes of instances that are labelled by points alone."""

from __future__ import annotations

import numpy as np


def hulls(keypoints: np.ndarray) -> np.ndarray:
    """[..., F, 3] (x, y, visibility) -> float64 [..., 4], (left, top, width, height) of the labelled points.

    Zeros where none is labelled.
    """
    labelled = (keypoints[..., 2] > 0)[..., None]
    points = keypoints[..., :2]
    low = np.where(labelled, points, np.inf).min(axis=-2)
    high = np.where(labelled, points, -np.inf).max(axis=-2)
    some = labelled.any(axis=-2)
    return np.concatenate([np.where(some, low, 0.0), np.where(some, high - low, 0.0)], axis=-1)
