"""Object keypoint similarity, in COCO's definition and in the one of ST's services."""

from __future__ import annotations

import numpy as np

AREA_SHARE = 0.53  # usual area of a person as a share of its box


def keypoint_similarity(pred: np.ndarray, truth: np.ndarray, areas: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """Similarity of single keypoints, 1 for the exact place, falling as a Gaussian of the distance.

    Args:
        pred: [..., K, 2 or more], (x, y) in image pixels. A coordinate that is not finite scores 0.
        truth: [..., K, 3], (x, y, visibility) in image pixels.
        areas: [...], square pixels.
        sigmas: [K], annotation spread of each keypoint as a share of the square root of the area.

    Returns:
        float64 [..., K] in 0..1, NaN where the keypoint is not labelled.
    """
    pred, truth = np.asarray(pred, np.float64), np.asarray(truth, np.float64)
    squared = ((pred[..., :2] - truth[..., :2]) ** 2).sum(axis=-1)
    areas = np.asarray(areas, np.float64)[..., None] + np.spacing(1)
    exponent = squared / (2 * np.asarray(sigmas, np.float64)) ** 2 / areas / 2
    similarity = np.exp(-np.where(np.isfinite(exponent), exponent, np.inf))
    return np.where(truth[..., 2] > 0, similarity, np.nan)


def oks(pred: np.ndarray, truth: np.ndarray, areas: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """COCO's object keypoint similarity: the mean over the labelled keypoints of exp(-d^2 / (2 (2 sigma)^2 area)).

    Arguments as for `keypoint_similarity`; the leading axes broadcast.

    Returns:
        float64 [...] in 0..1, NaN where no keypoint is labelled.
    """
    return mean_of_labelled(keypoint_similarity(pred, truth, areas, sigmas))


def oks_st(
    pred: np.ndarray, truth: np.ndarray, boxes: np.ndarray, size: np.ndarray | tuple[int, int], sigmas: np.ndarray
) -> np.ndarray:
    """OKS as ST's model zoo publishes it: coordinates are shares of the image per axis, the area is 0.53 of the box.

    The value depends on the image's aspect ratio; use it only to compare with figures of the model zoo. Without a
    labelled keypoint it is 0.

    Args:
        pred: [..., K, 2 or more], (x, y) in image pixels.
        truth: [..., K, 3], (x, y, visibility) in image pixels.
        boxes: [..., 4], (left, top, width, height) in image pixels.
        size: (H, W) of the image, or [..., 2].
        sigmas: [K].

    Returns:
        float64 [...] in 0..1.
    """
    pred, truth = np.asarray(pred, np.float64), np.asarray(truth, np.float64)
    extent = np.asarray(size, np.float64)[..., ::-1]
    squared = (((pred[..., :2] - truth[..., :2]) / extent[..., None, :]) ** 2).sum(axis=-1)
    area = (np.asarray(boxes, np.float64)[..., 2:] / extent).prod(axis=-1)
    exponent = squared / ((2 * np.asarray(sigmas, np.float64)) ** 2 * (AREA_SHARE * area[..., None] + 1e-7) * 2)
    labelled = truth[..., 2] > 0
    similarity = np.exp(-np.where(np.isfinite(exponent), exponent, np.inf)) * labelled
    return similarity.sum(axis=-1) / (labelled.sum(axis=-1) + 1e-7)


def effective_areas(areas: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Areas for OKS: the segment's where the labels have one, else 0.53 of the box.

    Label formats without segments (YOLO) give the box as area; taken as it is, OKS would be more lenient there than
    on COCO, where a person fills about half of its box.

    Args:
        areas: [...], as labelled; equal to the box (or 0) where there is no segment.
        boxes: [..., 4], (left, top, width, height).

    Returns:
        float64 [...].
    """
    areas, box_areas = np.asarray(areas, np.float64), np.asarray(boxes, np.float64)[..., 2:].prod(axis=-1)
    segment = (areas > 0) & ~np.isclose(areas, box_areas, rtol=1e-4)
    return np.where(segment, areas, AREA_SHARE * box_areas)


def mean_of_labelled(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Mean over the values that are not NaN; NaN where there is none."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
