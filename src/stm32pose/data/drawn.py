"""What somebody drew in a labelling tool, single points and boxes, put together to people and to `Sample`s."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stm32pose.data.files import image_ids
from stm32pose.data.hulls import hulls
from stm32pose.data.images import image_size
from stm32pose.data.listed import told_joints
from stm32pose.data.problems import Problem
from stm32pose.data.sample import Sample
from stm32pose.errors import UserError
from stm32pose.skeletons.joints import map_joints, plain_name
from stm32pose.skeletons.skeleton import Skeleton

BESIDE = 0.1
"""A point this share of a box's longer side beside it still belongs to it."""

Rectangle = tuple[float, float, float, float]
"""(left, top, width, height) in image pixels."""


@dataclass(frozen=True)
class Mark:
    """A point: keypoint name, place in image pixels, visibility 1 or 2, and the group it was put in, if any."""

    name: str
    x: float
    y: float
    visibility: int
    group: Hashable = None


@dataclass(frozen=True)
class Box:
    """A box: its label, its place, and the group it was put in, if any."""

    label: str
    place: Rectangle
    group: Hashable = None


@dataclass
class Drawn:
    """One instance: keypoint name -> (x, y, visibility), and its box where one was drawn."""

    points: dict[str, tuple[float, float, int]] = field(default_factory=dict)
    box: Rectangle | None = None


@dataclass(frozen=True)
class DrawnImage:
    """An image, its (H, W) where the file tells, the people in it, and where they come from."""

    path: Path
    size: tuple[int, int] | None
    people: list[Drawn]
    source: str


def put_together(
    marks: Sequence[Mark], boxes: Sequence[Box], where: str, problems: list[Problem], others: Sequence[Box] = ()
) -> list[Drawn]:
    """The people of an image.

    What is in one group is one person. Every other box is a person, and every other point belongs to the smallest box
    that holds it and has no such point yet, else to the box it is a little beside of (`BESIDE`), else to the only
    person there is. Without any box and group all points are one person's. A point that is left over, or the second of
    its name in a person, is an error.

    `others` are boxes of other things: what is in their group, or in no person's box and in (or nearer to) one of
    these, is left out with a warning. Where an image has some, no point goes to the only person from afar.
    """
    people: list[Drawn] = []
    of_group: dict[Hashable, Drawn] = {}
    for box in boxes:
        person = of_group.get(box.group) if box.group is not None else None
        if person is None or person.box is not None:
            person = Drawn()
            people.append(person)
            if box.group is not None:
                of_group.setdefault(box.group, person)
        person.box = box.place
    single = [mark for mark in marks if mark.group is None]
    elsewhere = {box.group for box in others} - set(of_group) - {None}
    foreign = [mark for mark in marks if mark.group in elsewhere]
    for mark in marks:
        if mark.group is not None and mark.group not in elsewhere:
            if mark.group not in of_group:
                of_group[mark.group] = Drawn()
                people.append(of_group[mark.group])
            _add(of_group[mark.group], mark, where, problems)
    if single and not people and not others:
        people.append(Drawn())
    for mark in single:
        person = _owner(mark, people, others)
        if isinstance(person, Box):
            foreign.append(mark)
        elif person is None:
            message = f"{mark.name} at ({mark.x:.0f}, {mark.y:.0f}) is in no box and in no group; whose is it?"
            problems.append(Problem("ungrouped_point", "error", where, message))
        else:
            _add(person, mark, where, problems)
    if foreign:
        labels = ", ".join(dict.fromkeys(box.label for box in others))
        message = f"{len(foreign)} points belong to boxes of another label ({labels}) and are left out, e.g. "
        problems.append(Problem("other_object", "warning", where, message + foreign[0].name))
    return people


def adopt_boxes(people: list[Drawn], boxes: Sequence[Rectangle]) -> list[Drawn]:
    """`people`, those without a box given the one that fits their points best; boxes left over are people too."""
    people, left = list(people), list(boxes)
    pairs = []
    for row, person in enumerate(people):
        points = np.array([point for point in person.points.values() if point[2]])
        if person.box is None and len(points):
            for number, box in enumerate(left):
                if all(_beside(x, y, box) <= BESIDE for x, y, _ in points):
                    hull = hulls(points)
                    pairs.append((hull[2] * hull[3] / max(box[2] * box[3], 1e-9), row, number))
    used: set[int] = set()
    for _, row, number in sorted(pairs, reverse=True):
        if people[row].box is None and number not in used:
            people[row].box = left[number]
            used.add(number)
    return people + [Drawn(box=box) for number, box in enumerate(left) if number not in used]


def named_labels(labels: Sequence[str], skeleton: Skeleton) -> list[str]:
    """Those of the labels that are the skeleton's category or name."""
    wanted = {plain_name(skeleton.category), plain_name(skeleton.name)}
    return [label for label in dict.fromkeys(labels) if plain_name(label) in wanted]


def chosen_label(labels: Sequence[str], skeleton: Skeleton, file: Path, problems: list[Problem]) -> str | None:
    """Which label of people (boxes, skeletons) is the skeleton's: the one named as it, or the only one there is.

    None, with a problem, where several could be.
    """
    found = named_labels(labels, skeleton) or list(dict.fromkeys(labels))
    if len(found) == 1:
        return found[0]
    message = f"no single label for the skeleton {skeleton.name} (category '{skeleton.category}'): "
    problems.append(Problem("no_category", "error", str(file), message + ", ".join(found[:6])))
    return None


def drawn_samples(
    images: Sequence[DrawnImage], names: Sequence[str], skeleton: Skeleton, file: Path, problems: list[Problem]
) -> list[Sample]:
    """`Sample`s of the images in the order of their paths; boxes that were not drawn are hulls of the points.

    The header of each image is read: a size in the file that is not the image's is an error.

    Args:
        images: what was drawn.
        names: all keypoint names of the file.
        skeleton: which keypoints are wanted.
        file: the annotation file, for messages.
        problems: faults are added here.
    """
    joints = told_joints(map_joints(names, skeleton), names, skeleton, file, problems)
    if joints is None:
        return []
    column = {name: number for number, name in enumerate(names)}
    samples = []
    ordered = sorted(images, key=lambda image: image.path.as_posix())
    for image, number in zip(ordered, image_ids([image.path.name for image in ordered]), strict=True):
        try:
            size = image_size(image.path)
        except UserError as error:
            message = str(error).removeprefix(f"{image.path}: ")
            problems.append(Problem("unreadable_image", "error", str(image.path), message))
            continue
        if image.size not in (None, size):
            message = f"the image is {size[1]} x {size[0]} pixels, its labels say {image.size[1]} x {image.size[0]}"
            problems.append(Problem("size_mismatch", "error", str(image.path), message))
            continue
        points = np.zeros((len(image.people), len(names), 3))
        for row, person in enumerate(image.people):
            for name, point in person.points.items():
                points[row, column[name]] = point
        boxes = hulls(points)
        for row, person in enumerate(image.people):
            if person.box is not None and min(person.box[2:]) > 0:
                boxes[row] = person.box
        told_extent(boxes, image.source, problems)
        boxes = boxes.astype(np.float32)
        samples.append(
            Sample(
                image=image.path,
                size=size,
                keypoints=joints.apply(points),
                boxes=boxes,
                areas=boxes[:, 2] * boxes[:, 3],
                crowd=np.zeros(len(boxes), dtype=bool),
                image_id=number,
                source=image.source,
            )
        )
    return samples


def told_unlabelled(names: Sequence[str], total: int, what: str, file: Path, problems: list[Problem]) -> None:
    """A warning that images in which nobody labelled anything are left out; they need not be without people."""
    if names:
        message = f"{len(names)} of {total} listed images {what} and are left out, e.g. {names[0]}"
        problems.append(Problem("missing_label", "warning", str(file), message))


def told_extent(boxes: np.ndarray, where: str, problems: list[Problem]) -> None:
    """A warning for each box, [N, 4], without extent: nobody drew one, and the points span none."""
    for _ in np.flatnonzero((boxes[:, 2:] <= 0).any(axis=1)):
        message = "no box, and the labelled points of the instance span none: its area is 0"
        problems.append(Problem("empty_box", "warning", where, message))


def _owner(mark: Mark, people: Sequence[Drawn], others: Sequence[Box]) -> Drawn | Box | None:
    """Whose a point is: a person's, or another thing's."""
    free = [person for person in people if mark.name not in person.points] or list(people)
    near: list[tuple[float, Drawn | Box]] = []
    near += [(_beside(mark.x, mark.y, person.box), person) for person in free if person.box is not None]
    inside = [person for distance, person in near if distance == 0 and isinstance(person, Drawn)]
    if inside:
        return min(inside, key=_extent)
    near += [(_beside(mark.x, mark.y, box.place), box) for box in others]
    beside = [(distance, owner) for distance, owner in near if distance <= BESIDE]
    if beside:
        return min(beside, key=lambda pair: pair[0])[1]
    return people[0] if len(people) == 1 and not others else None


def _extent(person: Drawn) -> float:
    return person.box[2] * person.box[3] if person.box else math.inf


def _beside(x: float, y: float, box: Rectangle) -> float:
    """How far a point is from a box, as a share of the box's longer side; 0 inside."""
    across = max(box[0] - x, x - box[0] - box[2], 0.0)
    down = max(box[1] - y, y - box[1] - box[3], 0.0)
    return math.hypot(across, down) / max(box[2], box[3], 1e-9)


def _add(person: Drawn, mark: Mark, where: str, problems: list[Problem]) -> None:
    if mark.name in person.points:
        message = f"{mark.name} is there twice in one person; people need a box or a group each to be told apart"
        problems.append(Problem("duplicate_joint", "error", where, message))
        return
    person.points[mark.name] = (mark.x, mark.y, mark.visibility)
