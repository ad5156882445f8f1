"""`Sample`: one image and the people (or hands, or animals) labelled in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

HIDDEN, OCCLUDED, VISIBLE = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Sample:
    """One labelled image. Coordinates are continuous image pixels: the centre of the first pixel is (0.5, 0.5).

    Attributes:
        image: the image file.
        size: (H, W) of the image in pixels, as decoded (EXIF orientation applied).
        keypoints: float32 [N, K, 3], (x, y, visibility); visibility 0 not labelled, 1 labelled but occluded, 2 visible.
        boxes: float32 [N, 4], (left, top, width, height) in pixels.
        areas: float32 [N], area of each instance in square pixels (segment area where known, else the box's).
        crowd: bool [N], a group that is neither truth nor error in evaluation.
        image_id: the number that COCO results use.
        region: (left, top, width, height) of the part of the image to look at, None for the whole.
        source: where the labels come from (`file` or `file:line`), for messages.
        head_sizes: float32 [N], the unit of PCKh in pixels (MPII: 0.6 of the diagonal of the head box), 0 for an
            instance without; None where the labels have none.
    """

    image: Path
    size: tuple[int, int]
    keypoints: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray
    image_id: int
    region: tuple[float, float, float, float] | None = None
    source: str = ""
    head_sizes: np.ndarray | None = None

    @property
    def instances(self) -> int:
        return len(self.keypoints)

    def only(self, index: int | Sequence[int]) -> Sample:
        """The same image with the given instances alone, in that order."""
        rows = np.atleast_1d(np.asarray(index, dtype=np.int64))
        return replace(
            self,
            keypoints=self.keypoints[rows],
            boxes=self.boxes[rows],
            areas=self.areas[rows],
            crowd=self.crowd[rows],
            head_sizes=None if self.head_sizes is None else self.head_sizes[rows],
        )
