"""Labels of a batch on their way into the input: keypoints, boxes and areas under the same changes as the images.

Every image has one matrix at a time, from the frame its labels are stored in to the frame they are in now. Geometry
multiplies it; `settle` moves the labels for good, cuts them at the edge and begins anew, as drawing does to the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stm32pose.transforms.geometry import determinant, transform_boxes, transform_points


@dataclass(frozen=True, eq=False)
class People:
    """The one person of each image that an augmentation goes by: the largest that is labelled.

    Attributes:
        points: float64 [B, K, 2], input pixels as they are now.
        labelled: bool [B, K].
        boxes: float64 [B, 4], (left, top, width, height); the hull of the keypoints where no box is labelled.
        found: bool [B], whether there is anybody; the rest is zeros where not.
    """

    points: np.ndarray
    labelled: np.ndarray
    boxes: np.ndarray
    found: np.ndarray


class MovingLabels:
    """Labels of B images, n instances in all. Arrays are changed in place; the caller gives them away.

    Args:
        keypoints: [n, K, 3], (x, y, visibility) in the pixels that `matrices` start from.
        boxes: [n, 4], (left, top, width, height). areas: [n].
        owner: int64 [n], which of the B images each instance is in, ascending.
        matrices: float64 [B, 3, 3], to the input as it is now.
        flip: int64 [K], the keypoint that takes each one's place in a mirrored image; None where nothing mirrors.
    """

    def __init__(
        self,
        keypoints: np.ndarray,
        boxes: np.ndarray,
        areas: np.ndarray,
        owner: np.ndarray,
        matrices: np.ndarray,
        flip: np.ndarray | None,
    ):
        self.keypoints, self.boxes, self.areas, self.owner = keypoints, boxes, areas, owner
        self.matrices, self._flip = matrices, flip

    def move(self, matrices: np.ndarray) -> None:
        """Another change of the input, float64 [B, 3, 3]."""
        self.matrices = matrices @ self.matrices

    def people(self, rows: np.ndarray) -> People:
        """The largest labelled person of some images, int64 [b], by area, else by box."""
        images, count = len(rows), self.keypoints.shape[1]
        points, labelled = np.zeros((images, count, 2)), np.zeros((images, count), dtype=bool)
        boxes, found = np.zeros((images, 4)), np.zeros(images, dtype=bool)
        place = np.full(len(self.matrices), -1)
        place[rows] = np.arange(images)
        chosen = self._largest()
        chosen = chosen[np.flatnonzero(place[self.owner[chosen]] >= 0)]
        owner = place[self.owner[chosen]]
        matrices = self.matrices[self.owner[chosen]]
        seen = np.array(self.keypoints[chosen, :, 2] > 0, dtype=bool)
        places = transform_points(matrices[:, None], self.keypoints[chosen, :, :2].astype(np.float64))
        low = np.where(seen[..., None], places, np.inf).min(axis=1, initial=np.inf)
        high = np.where(seen[..., None], places, -np.inf).max(axis=1, initial=-np.inf)
        some = np.asarray(seen.any(axis=1))
        hull = np.where(some[:, None], np.concatenate([low, high - low], axis=1), 0.0)
        given = np.asarray((self.boxes[chosen, 2:] > 0).all(axis=1))
        points[owner], labelled[owner] = places, seen
        boxes[owner] = np.where(given[:, None], transform_boxes(matrices, self.boxes[chosen]), hull)
        found[owner] = given | some
        return People(points, labelled, boxes, found)

    def cover(self, rectangles: np.ndarray, rows: np.ndarray, *, occluded: bool = False) -> None:
        """Clear keypoints under rectangles.

        Args:
            rectangles: [b, R, 4], (left, top, right, bottom) in input pixels as they are now.
            rows: int64 [b], the images they are painted on.
            occluded: visibility 1 in place of 0.
        """
        place = np.full(len(self.matrices), -1)
        place[rows] = np.arange(len(rows))
        mine = np.flatnonzero(place[self.owner] >= 0)
        owner = self.owner[mine]
        points = transform_points(self.matrices[owner][:, None], self.keypoints[mine, :, :2].astype(np.float64))
        edges = rectangles[place[owner]][:, None]
        x, y = points[..., None, 0], points[..., None, 1]
        hit = (x >= edges[..., 0]) & (x < edges[..., 2]) & (y >= edges[..., 1]) & (y < edges[..., 3])
        hit = hit.any(axis=-1) & (self.keypoints[mine, :, 2] > 0)
        changed = self.keypoints[mine]
        changed[hit] = changed[hit] * [1, 1, 0] + [0, 0, 1] if occluded else 0
        self.keypoints[mine] = changed

    def settle(self, windows: np.ndarray, rows: np.ndarray | None = None) -> None:
        """Move the labels of some images for good and cut them.

        Keypoints outside become (0, 0, 0), boxes are upright hulls cut at the edge, areas follow the matrix and lose
        the same share as their box, nothing without a box. Where the matrix mirrors, left and right change places.

        Args:
            windows: [b, 4], (left, top, right, bottom): what is seen of each of these images.
            rows: int64 [b], the images; None for all of them.
        """
        if rows is None:
            mine, place = np.arange(len(self.owner)), self.owner
        else:
            whole = np.full(len(self.matrices), -1)
            whole[rows] = np.arange(len(rows))
            mine = np.flatnonzero(whole[self.owner] >= 0)
            place = whole[self.owner[mine]]
        matrix, window = self.matrices[self.owner[mine]], np.asarray(windows, dtype=np.float64)[place]
        low, high = window[:, None, :2], window[:, None, 2:]
        keypoints = self.keypoints[mine]
        points = transform_points(matrix[:, None], keypoints[..., :2].astype(np.float64))
        inside = ((points >= low) & (points < high)).all(axis=-1) & (keypoints[..., 2] > 0)
        keypoints = np.where(inside[..., None], np.concatenate([points, keypoints[..., 2:]], axis=-1), 0.0)
        mirrored = determinant(matrix) < 0
        if self._flip is not None and mirrored.any():
            keypoints = np.where(mirrored[:, None, None], keypoints[:, self._flip], keypoints)
        hulls = transform_boxes(matrix, self.boxes[mine])
        start = np.maximum(hulls[:, :2], window[:, :2])
        sides = np.minimum(hulls[:, :2] + hulls[:, 2:], window[:, 2:]) - start
        boxes = np.where((sides > 0).all(axis=1, keepdims=True), np.concatenate([start, sides], axis=1), 0.0)
        all_of_it, seen = hulls[:, 2] * hulls[:, 3], boxes[:, 2] * boxes[:, 3]
        share = np.divide(seen, all_of_it, out=np.ones_like(all_of_it), where=all_of_it > 0)
        areas = self.areas[mine] * np.abs(determinant(matrix)) * share
        self.matrices = self.matrices.copy()
        if rows is None:
            self.keypoints, self.boxes, self.areas = keypoints, boxes, areas
            self.matrices[:] = np.eye(3)
        else:
            # Stored as wide as they are computed: a second move starts from these.
            self.keypoints, self.boxes = self.keypoints.astype(np.float64), self.boxes.astype(np.float64)
            self.areas = self.areas.astype(np.float64)
            self.keypoints[mine], self.boxes[mine], self.areas[mine] = keypoints, boxes, areas
            self.matrices[rows] = np.eye(3)

    def join(self, rows: np.ndarray, other: MovingLabels, *, largest: bool) -> None:
        """The instances of other images beside those of some of these; both are settled.

        Args:
            rows: int64 [b], the images of this batch; `other` holds b images.
            largest: of all people of such an image, the largest alone keeps its labels.
        """
        owner = np.concatenate([self.owner, rows[other.owner]])
        order = np.argsort(owner, kind="stable")
        self.owner = owner[order]
        self.keypoints = np.concatenate([self.keypoints, other.keypoints])[order]
        self.boxes = np.concatenate([self.boxes, other.boxes])[order]
        self.areas = np.concatenate([self.areas, other.areas])[order]
        if largest:
            kept = ~np.isin(self.owner, rows)
            kept[self._largest()] = True
            self.owner, self.keypoints = self.owner[kept], self.keypoints[kept]
            self.boxes, self.areas = self.boxes[kept], self.areas[kept]

    def padded(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """keypoints float32 [B, N, K, 3], boxes [B, N, 4] and areas [B, N]; N is the largest count of instances, at
        least 1, rows of zeros fill up."""
        counts = np.bincount(self.owner, minlength=len(self.matrices))
        place = np.arange(len(self.owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        shape = (len(self.matrices), max(1, int(counts.max(initial=0))))
        keypoints = np.zeros((*shape, *self.keypoints.shape[1:]), dtype=np.float32)
        boxes = np.zeros((*shape, 4), dtype=np.float32)
        areas = np.zeros(shape, dtype=np.float32)
        keypoints[self.owner, place] = self.keypoints
        boxes[self.owner, place] = self.boxes
        areas[self.owner, place] = self.areas
        return keypoints, boxes, areas

    def _largest(self) -> np.ndarray:
        """Indices of the largest labelled instance of each image that has one, ascending."""
        labelled = (self.keypoints[..., 2] > 0).any(axis=1)
        box = self.boxes[:, 2] * self.boxes[:, 3]
        # Somebody without keypoints is chosen only where nobody has any.
        order = np.lexsort((-box, -self.areas, ~labelled, self.owner))
        owners = self.owner[order]
        return order[np.flatnonzero(np.diff(owners, prepend=-1))]
