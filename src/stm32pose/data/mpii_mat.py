"""MPII's MATLAB files: the release with all labels, and the head boxes of HRNet's lists. Nothing in them is run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stm32pose.data.matlab import MatError, read_mat
from stm32pose.data.problems import Problem
from stm32pose.data.sample import OCCLUDED, VISIBLE
from stm32pose.errors import first_line

JOINTS = 16
HEAD_SHARE = 0.6
"""Share of the head box's diagonal that MPII's evaluation measures in: the length of the head itself."""
FAR = 1e7
"""Pixels: no image is as large."""


@dataclass
class Person:
    """One person as MPII labels it, in its own pixels, which count from 1.

    Attributes:
        points: float64 [16, 3], (x, y, visibility), zeros where not labelled.
        centre: float64 [2], nan where unknown.
        scale: height of the person in units of 200 pixels, 0 where unknown.
        head_size: unit of PCKh in pixels, 0 where unknown.
    """

    points: np.ndarray
    centre: np.ndarray
    scale: float
    head_size: float = 0.0

    def __post_init__(self) -> None:
        self.points[self.points[:, 2] == 0] = 0

    def sound(self, where: str, problems: list[Problem]) -> bool:
        """Whether all numbers are some that an image can have; else False, with a problem."""
        numbers = np.concatenate([self.points.ravel(), [self.scale, self.head_size], self.centre])
        known = ~np.isnan(numbers)
        known[: self.points.size + 2] = True  # only the centre may be unknown
        if (np.abs(numbers[known]) < FAR).all():
            return True
        problems.append(Problem("not_finite", "error", where, "a number is nan, infinite or absurdly large"))
        return False


def read_release(path: Path, problems: list[Problem]) -> Iterator[tuple[str, str, Person]]:
    """(name of the image, where it stands, person) of every person of the training images of `RELEASE`.

    People without joints (they are there, and unlabelled) come too. Test images have no labels and are left out.
    """
    release = _load(path, "RELEASE", problems)
    if release is None:
        return
    images = _items(_field(release, "annolist"))
    given = _field(release, "img_train")
    chosen = np.ravel(given) if isinstance(given, (float, np.ndarray)) else np.ones(len(images))
    if not images:
        problems.append(Problem("bad_mat", "error", str(path), "RELEASE has no annolist; wanted MPII's release"))
        return
    for number, item in enumerate(images):
        if len(chosen) == len(images) and not chosen[number]:
            continue
        where = f"{path}: annolist({number + 1})"
        name = _field(_field(item, "image"), "name")
        if not isinstance(name, str) or not name:
            problems.append(Problem("bad_mat", "error", where, "has no image.name"))
            continue
        for index, record in enumerate(_items(_field(item, "annorect"))):
            place = f"{where}.annorect({index + 1})"
            try:
                person = _person(record)
            except (TypeError, ValueError, IndexError, OverflowError) as error:
                problems.append(Problem("not_a_number", "error", place, f"no numbers of a person: {first_line(error)}"))
                continue
            if person is not None and person.sound(place, problems):
                yield name, place, person


def head_sizes_of(path: Path, records: Sequence[Any], problems: list[Problem]) -> np.ndarray | None:
    """Head sizes float64 [P] of a .json list, from `gt_<stem>.mat` (MMPose: `mpii_gt_<set>.mat`) beside it.

    None where there is no such file, or where it is of another list, which is a warning.
    """
    names = (f"gt_{path.stem}.mat", f"mpii_gt_{path.stem.removeprefix('mpii_')}.mat")
    file = next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)
    if file is None:
        return None
    boxes = _load(file, "headboxes_src", problems)
    if boxes is None:
        return None
    corners = np.asarray(boxes) if isinstance(boxes, np.ndarray) else np.zeros(0)
    if corners.shape[:2] != (2, 2) or corners.ndim not in (2, 3):
        message = f"headboxes_src has the shape {corners.shape}; wanted (2, 2, people); PCKh falls back on the joints"
        problems.append(Problem("bad_mat", "warning", str(file), message))
        return None
    corners = corners.reshape(2, 2, -1).astype(np.float64)
    if corners.shape[2] != len(records):
        message = (
            f"{corners.shape[2]} head boxes for {len(records)} people of {path.name}; PCKh falls back on the joints"
        )
        problems.append(Problem("wrong_count", "warning", str(file), message))
        return None
    sizes = HEAD_SHARE * np.hypot(*(corners[1] - corners[0]))
    return np.where(np.isfinite(sizes), sizes, 0.0)


def _person(record: Any) -> Person | None:
    """A person of `annorect`; None where nothing of it is labelled at all."""
    points = np.zeros((JOINTS, 3))
    for point in _items(_field(_field(record, "annopoints"), "point")):
        joint, x, y = (_number(_field(point, key)) for key in ("id", "x", "y"))
        if not np.isfinite([joint, x, y]).all():
            raise ValueError("a point without id, x or y")
        if joint != int(joint) or not 0 <= joint < JOINTS:
            raise ValueError(f"a point of id {joint:g}; allowed: 0 to {JOINTS - 1}")
        points[int(joint)] = x, y, _visibility(_field(point, "is_visible"))
    centre = np.array([_number(_field(_field(record, "objpos"), key)) for key in ("x", "y")])
    scale = _number(_field(record, "scale"))
    left, top, right, bottom = (_number(_field(record, key)) for key in ("x1", "y1", "x2", "y2"))
    size = HEAD_SHARE * float(np.hypot(right - left, bottom - top))
    if not points[:, 2].any() and not np.isfinite(scale):
        # A head box alone: somebody is there. The head is about an eighth of a person, and so the box of a person.
        if not np.isfinite(size):
            return None
        centre, scale = np.array([left + right, top + bottom]) / 2, 0.0
    return Person(points, centre, scale if np.isfinite(scale) else 0.0, size if np.isfinite(size) else 0.0)


def _visibility(value: Any) -> int:
    """1 and 0 of MPII; it has no word on the ends of the head, which are taken for visible."""
    number = _number(value)
    return OCCLUDED if number == 0 else VISIBLE


def _load(path: Path, name: str, problems: list[Problem]) -> Any:
    """One variable of a .mat file; None, with a problem."""
    try:
        content = read_mat(path, name)
    except (MatError, OSError) as error:
        problems.append(Problem("bad_mat", "error", str(path), f"cannot be read: {first_line(error)}"))
        return None
    if content is None:
        problems.append(Problem("bad_mat", "error", str(path), f"has no variable {name}"))
    return content


def _field(record: Any, name: str) -> Any:
    """A field of a MATLAB struct, where it stands alone; None where it is empty or not there."""
    if isinstance(record, list):
        record = record[0] if len(record) == 1 else None
    value = record.get(name) if isinstance(record, dict) else None
    empty = value == "" if isinstance(value, str) else isinstance(value, np.ndarray) and value.size == 0
    return None if empty else value


def _items(value: Any) -> list[Any]:
    """The structs of an array of them; nothing else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _number(value: Any) -> float:
    """A MATLAB number (MPII writes flags as text at times); nan where there is none."""
    return float(value) if value is not None else float("nan")
