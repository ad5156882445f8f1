"""Distances between predicted and labelled keypoints: end-point error and the percentage of correct keypoints (PCK)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SIDED = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
"""MPII's groups of joints, in the order in which it reports them, after the head."""


def distances(pred: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Distance of every keypoint from its label.

    Args:
        pred: [..., K, 2 or more], (x, y) in image pixels.
        truth: [..., K, 3], (x, y, visibility) in image pixels.

    Returns:
        float64 [..., K] in pixels; NaN where not labelled, infinite where the prediction is not finite.
    """
    pred, truth = np.asarray(pred, np.float64), np.asarray(truth, np.float64)
    length = np.hypot(pred[..., 0] - truth[..., 0], pred[..., 1] - truth[..., 1])
    length = np.where(np.isfinite(length), length, np.inf)
    return np.where(truth[..., 2] > 0, length, np.nan)


def correct(lengths: np.ndarray, reference: np.ndarray, threshold: float) -> np.ndarray:
    """Which keypoints lie within `threshold` of a reference length.

    Args:
        lengths: [..., K] from `distances`.
        reference: [...] in pixels; an instance without one (not positive, or NaN) is left out.
        threshold: share of the reference, inclusive.

    Returns:
        float64 [..., K]: 1 correct, 0 wrong, NaN not counted.
    """
    reference = np.asarray(reference, np.float64)[..., None]
    counted = ~np.isnan(lengths) & (reference > 0)
    with np.errstate(invalid="ignore"):
        return np.where(counted, (lengths <= threshold * reference).astype(np.float64), np.nan)


def box_reference(boxes: np.ndarray) -> np.ndarray:
    """[..., 4] -> [...]: the longer side of each box, what PCK is measured in."""
    return np.asarray(boxes, np.float64)[..., 2:].max(axis=-1)


def head_reference(
    truth: np.ndarray, sizes: np.ndarray | None, segment: tuple[int, int] | None, factor: float = 1.0
) -> np.ndarray:
    """What PCKh is measured in: the labelled head size, else the length of the head's segment.

    Args:
        truth: [..., K, 3], (x, y, visibility) in image pixels.
        sizes: [...] in pixels, 0 or NaN where an instance has none; None: none has.
        segment: two keypoints of the head; None: unknown.
        factor: multiplies the segment's length.

    Returns:
        float64 [...] in pixels, NaN where neither is known.
    """
    truth = np.asarray(truth, np.float64)
    lengths = np.full(truth.shape[:-2], np.nan) if segment is None else segment_reference(truth, segment, factor)
    if sizes is None:
        return lengths
    sizes = np.asarray(sizes, np.float64)
    return np.where(sizes > 0, sizes, lengths)


def joint_groups(names: Sequence[str]) -> dict[str, list[int]]:
    """MPII's groups of joints: "head" (the top of it), "shoulder", "elbow", ... -> indices, those there are.

    A group is the joint of both sides.
    """
    groups = {"head": [index for index, name in enumerate(names) if name in ("head_top", "head")]}
    for part in SIDED:
        groups[part] = [index for index, name in enumerate(names) if name in (f"left_{part}", f"right_{part}")]
    return {name: indices for name, indices in groups.items() if indices}


def counted_joints(names: Sequence[str]) -> list[int]:
    """Joints that MPII's mean counts: all but pelvis and thorax."""
    return [index for index, name in enumerate(names) if name not in ("pelvis", "thorax")]


def segment_reference(truth: np.ndarray, segment: tuple[int, int], factor: float = 1.0) -> np.ndarray:
    """Length between two labelled keypoints, what PCKh is measured in.

    Args:
        truth: [..., K, 3], (x, y, visibility) in image pixels.
        segment: the two keypoints, of the head for PCKh.
        factor: multiplies the length.

    Returns:
        float64 [...] in pixels, NaN where one of the two is not labelled.
    """
    first, second = (np.asarray(truth, np.float64)[..., index, :] for index in segment)
    length = factor * np.hypot(first[..., 0] - second[..., 0], first[..., 1] - second[..., 1])
    return np.where((first[..., 2] > 0) & (second[..., 2] > 0), length, np.nan)
