"""`dataset.filter`: which labelled people are used, by an expression on what is known of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from stm32pose.data.expression import Expression, evaluate, parse_expression
from stm32pose.data.problems import Problem
from stm32pose.data.sample import VISIBLE, Sample
from stm32pose.skeletons.joints import plain_name
from stm32pose.skeletons.skeleton import Skeleton

NAMES: dict[str, str] = {
    "visible": "keypoints that are labelled and visible (v = 2)",
    "labelled": "keypoints that are labelled (v > 0)",
    "keypoints": "keypoints of the skeleton",
    "box_width": "width of the box, in pixels",
    "box_height": "height of the box, in pixels",
    "box_area": "area of the box, in square pixels",
    "area": "area of the segment where the labels have one, else of the box, in square pixels",
    "box_share": "area of the box as a share of the image's",
    "head_size": "unit of PCKh in pixels, where the labels have one (MPII), else 0",
    "image_width": "width of the image, in pixels",
    "image_height": "height of the image, in pixels",
    "instances": "people in the image, crowds not counted",
    "crowds": "crowds in the image",
}
"""Names that are numbers. `crowd` and `has_NAME` (keypoint NAME is labelled) are conditions."""


@dataclass(frozen=True)
class Filtered(Problem):
    """What a filter took out of a set.

    Attributes:
        expression: the filter.
        people: instances before, crowds not counted.
        removed: of these, those that failed.
        images: images that lost all their people.
        clauses: part of the expression -> how many instances fail it (one may fail several).
    """

    expression: str = ""
    people: int = 0
    removed: int = 0
    images: int = 0
    clauses: Mapping[str, int] | None = None

    def record(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "filter": self.expression,
            "people": self.people,
            "removed": self.removed,
            "images_removed": self.images,
            "failed": dict(self.clauses or {}),
        }


def parse_filter(text: str, skeleton: Skeleton, *, where: str = "dataset.filter") -> Expression:
    """Read `visible >= 5 and box_height > 64`; names are those of `NAMES`, `crowd`, and `has_NAME` of each keypoint.

    Raises:
        ConfigError: it is no such expression, or a name is unknown; one line with the place in the text.
    """
    joints = [f"has_{plain_name(name)}" for name in skeleton.keypoints]
    shown = (*NAMES, "crowd", f"has_KEYPOINT ({', '.join(joints[:3])}{', ...' if len(joints) > 3 else ''})")
    return parse_expression(text, numbers=tuple(NAMES), conditions=("crowd", *joints), where=where, shown=shown)


def apply_filter(
    samples: Sequence[Sample], expression: Expression, skeleton: Skeleton
) -> tuple[list[Sample], Filtered]:
    """Take the people out who fail; images that lose all their people go, those that had none stay.

    Who fails becomes a crowd: the image still shows them, so they are neither truth nor error. Crowds are no people and
    are not judged. The same image without a change is the same object.

    Returns:
        the images left, in their order, and what was removed.
    """
    table = _Table(samples, skeleton)
    results = [np.broadcast_to(evaluate(part, table), table.rows) for _, part in expression.clauses]
    people = ~table.crowd
    kept = people & np.logical_and.reduce(results)
    lost = people & ~kept
    touched = np.flatnonzero(table.sums(lost))
    empty = table.sums(kept) == 0
    gone: set[int] = set()
    result = list(samples)
    for index in touched.tolist():
        if empty[index]:
            gone.add(index)
        else:
            rows = slice(table.starts[index], table.starts[index + 1])
            result[index] = replace(samples[index], crowd=samples[index].crowd | lost[rows])
    failed = {text: int((people & ~holds).sum()) for (text, _), holds in zip(expression.clauses, results, strict=True)}
    removed, count = int(lost.sum()), int(people.sum())
    reasons = ", ".join(f"{number} fail {text}" for text, number in failed.items() if number)
    message = f"the filter takes out {removed} of {count} {skeleton.category}s and with them {len(gone)} images"
    report = Filtered(
        "filtered",
        "warning",
        _folder(samples),
        f"{message}{': ' if reasons else ''}{reasons}",
        expression=expression.text,
        people=count,
        removed=removed,
        images=len(gone),
        clauses=failed,
    )
    return [sample for index, sample in enumerate(result) if index not in gone], report


class _Table(Mapping[str, Any]):
    """What is known of all instances of a set, a row each; made when asked for."""

    def __init__(self, samples: Sequence[Sample], skeleton: Skeleton) -> None:
        counts = np.array([sample.instances for sample in samples], dtype=np.int64)
        self._samples, self._skeleton, self._counts = samples, skeleton, counts
        self.starts = np.concatenate([[0], np.cumsum(counts)])
        self.rows = int(self.starts[-1])
        self.crowd = self._joined([sample.crowd for sample in samples], ()).astype(bool)
        self._made: dict[str, np.ndarray] = {"crowd": self.crowd}

    def sums(self, rows: np.ndarray) -> np.ndarray:
        """How many of the rows hold in each image: int64 [images]."""
        total = np.concatenate([[0], np.cumsum(rows)])
        return total[self.starts[1:]] - total[self.starts[:-1]]

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter((*NAMES, "crowd"))

    def __len__(self) -> int:
        return len(NAMES) + 1

    def _make(self, name: str) -> np.ndarray:
        samples, count = self._samples, self._skeleton.count
        if name == "flags":
            return self._joined([sample.keypoints[..., 2] for sample in samples], (count,))
        if name == "boxes":
            return self._joined([sample.boxes for sample in samples], (4,)).astype(np.float64)
        if name.startswith("has_"):
            joint = [plain_name(joint) for joint in self._skeleton.keypoints].index(name.removeprefix("has_"))
            return self["flags"][:, joint] > 0
        if name == "visible":
            return (self["flags"] == VISIBLE).sum(axis=1)
        if name == "labelled":
            return (self["flags"] > 0).sum(axis=1)
        if name == "keypoints":
            return np.full(self.rows, count)
        if name in ("box_width", "box_height"):
            return self["boxes"][:, 2 if name == "box_width" else 3]
        if name == "box_area":
            return self["box_width"] * self["box_height"]
        if name == "box_share":
            return self["box_area"] / np.maximum(self["image_width"] * self["image_height"], 1)
        if name == "area":
            return self._joined([sample.areas for sample in samples], ()).astype(np.float64)
        if name == "head_size":
            heads = [np.zeros(s.instances) if s.head_sizes is None else s.head_sizes for s in samples]
            return self._joined(heads, ()).astype(np.float64)
        if name in ("image_width", "image_height"):
            axis = 1 if name == "image_width" else 0
            return np.repeat(np.array([float(sample.size[axis]) for sample in samples]), self._counts)
        if name in ("instances", "crowds"):
            return np.repeat(self.sums(self.crowd if name == "crowds" else ~self.crowd), self._counts)
        raise KeyError(name)

    def _joined(self, parts: list[np.ndarray], row: tuple[int, ...]) -> np.ndarray:
        return np.concatenate(parts) if parts else np.zeros((0, *row))


def _folder(samples: Sequence[Sample]) -> str:
    return str(samples[0].image.parent) if samples else ""
