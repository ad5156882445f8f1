"""Boxes of detections: overlap, and greedy suppression of those that show the same person. Pure numpy."""

from __future__ import annotations

import numpy as np

_CHUNK = 128  # candidates compared with each other at once


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of every box with every other.

    Args:
        first: [M, 4], (left, top, right, bottom).
        second: [N, 4], likewise, in the same unit.

    Returns:
        [M, N] in 0..1; 0 where both are empty.
    """
    left, top, right, bottom = (first[:, None, side] for side in range(4))
    width = np.minimum(right, second[:, 2]) - np.maximum(left, second[:, 0])
    height = np.minimum(bottom, second[:, 3]) - np.maximum(top, second[:, 1])
    common = np.maximum(width, 0) * np.maximum(height, 0)
    union = _areas(first)[:, None] + _areas(second) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def suppress(boxes: np.ndarray, scores: np.ndarray, *, threshold: float, limit: int) -> np.ndarray:
    """Greedy non-maximum suppression: the best box stays, those that overlap it too much go, and so on.

    The loop is over the boxes that stay, `limit` at most; among equal scores the first one wins.

    Args:
        boxes: [M, 4], (left, top, right, bottom).
        scores: [M].
        threshold: a box goes when its overlap with a better one is above this.
        limit: most boxes that stay.

    Returns:
        int64 [at most limit], indices of the boxes that stay, the best first.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    for start in range(0, len(order), _CHUNK):
        chunk = order[start : start + _CHUNK]
        open_ = ~(overlaps(boxes[chunk], boxes[kept]) > threshold).any(axis=1)
        same = overlaps(boxes[chunk], boxes[chunk]) > threshold
        while len(kept) < limit and open_.any():
            best = int(open_.argmax())
            kept.append(int(chunk[best]))
            open_ &= ~same[best]
            open_[best] = False
        if len(kept) == limit:
            break
    return np.array(kept, np.int64)


def _areas(boxes: np.ndarray) -> np.ndarray:
    """[N]; 0 for a box whose right side lies left of its left one."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
