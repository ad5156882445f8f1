"""MPII Human Pose: the published .mat, the .json lists of HRNet and MMPose, and COCO-style files of the same images.

Coordinates count pixels from 1, so half a pixel is taken off: the centre of the first pixel is 1 there, 0.5 here.
MPII has no boxes of people. It gives a rough centre and a scale, the person's height in units of 200 pixels; the box is
the square that HRNet and its kin crop by them, and the area that of the hull of the joints, as OKS wants it. Head boxes
give the unit of PCKh: 0.6 of their diagonal (Andriluka et al. 2014, the evaluation that MPII publishes).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stm32pose.data.coco import read_coco
from stm32pose.data.files import image_ids
from stm32pose.data.formats import Format, Part
from stm32pose.data.hulls import hulls
from stm32pose.data.images import image_size
from stm32pose.data.listed import Listed, told_joints
from stm32pose.data.mpii_mat import JOINTS, Person, head_sizes_of, read_release
from stm32pose.data.mpii_places import find_mpii, is_mpii, kind_of, list_mpii, mpii_parts
from stm32pose.data.problems import Problem
from stm32pose.data.sample import VISIBLE, Sample
from stm32pose.errors import UserError
from stm32pose.metrics.oks import AREA_SHARE
from stm32pose.skeletons.joints import map_joints
from stm32pose.skeletons.skeleton import Skeleton, load_skeleton

ORDER = "mpii16"
UNIT = 200.0
"""Pixels of a person's height that scale 1 stands for."""
LOWER = 15.0
"""Pixels at scale 1 by which HRNet moves the centre down, so that a crop does not cut the feet off."""
OFFSET = 0.5
"""What is taken off coordinates that count pixels from 1."""

ALIASES = {"head": "head_top", "neck": "upper_neck"}
"""How COCO-style files of these images call joints of `mpii16`."""


@dataclass
class _People:
    """What the labels hold: a person a row, P rows; `names` says whose image it is."""

    names: list[str] = field(default_factory=list)
    wheres: list[str] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)

    def add(self, name: str, where: str, person: Person) -> None:
        self.names.append(name)
        self.wheres.append(where)
        self.people.append(person)


def read_mpii(
    images: Path,
    skeleton: Skeleton,
    *,
    annotations: Path | None = None,
    where: str = "dataset.training_path",
    part: Part = "train",
) -> tuple[list[Sample], list[Problem]]:
    """All images that the labels list and the folder holds, in the order of their names.

    Joints go by name (`mpii16`); a .mat tells occluded from visible ones, a .json only labelled from not labelled.
    Head sizes come from the head boxes of a .mat, for a .json from the `gt_<stem>.mat` beside it, where that is there.
    Only the headers of images are read.

    Args:
        images: folder of images, or the folder that holds `images` and `annot` (or `annotations`).
        skeleton: which keypoints are wanted.
        annotations: the .mat or the .json; None: see `find_mpii`.
        where: the key of the configuration, for messages.
        part: which set, where `annot` holds several.

    Raises:
        UserError: no folder, no image in it, or no labels.
    """
    folder, path = find_mpii(images, annotations, part, where=where)
    kind = kind_of(path)
    if kind == "coco":
        return read_coco(folder, skeleton, annotations=path, where=where, aliases=ALIASES)
    listed = Listed(folder, where=where)
    problems: list[Problem] = []
    found = _People()
    if kind == "mat":
        for name, place, person in read_release(path, problems):
            found.add(name, place, person)
    else:
        _read_list(path, found, problems)
    joints = told_joints(
        map_joints(load_skeleton(ORDER).keypoints, skeleton), load_skeleton(ORDER).keypoints, skeleton, path, problems
    )
    if joints is None or not found.people:
        if not found.people and not problems:
            problems.append(Problem("no_keypoints", "error", str(path), "lists no labelled person"))
        return [], problems
    points = np.stack([person.points for person in found.people])
    points[..., :2] -= np.where(points[..., 2:] > 0, OFFSET, 0.0)
    boxes, areas = _boxes(found.people, points)
    sizes = np.array([person.head_size for person in found.people])
    keypoints = joints.apply(points)
    rows_of: dict[Path, list[int]] = {}
    for row, name in enumerate(found.names):
        image = listed.find(name)
        if image is not None:
            rows_of.setdefault(image, []).append(row)
    problems += listed.problems(path)
    paths = sorted(rows_of, key=lambda image: image.as_posix())
    samples = []
    for image, number in zip(paths, image_ids([image.name for image in paths]), strict=True):
        try:
            size = image_size(image)
        except UserError as error:
            problems.append(Problem("unreadable_image", "error", str(image), str(error).removeprefix(f"{image}: ")))
            continue
        rows = np.array(rows_of[image])
        samples.append(
            Sample(
                image=image,
                size=size,
                keypoints=keypoints[rows],
                boxes=boxes[rows].astype(np.float32),
                areas=areas[rows].astype(np.float32),
                crowd=np.zeros(len(rows), dtype=bool),
                image_id=number,
                source=found.wheres[rows[0]],
                head_sizes=sizes[rows].astype(np.float32) if sizes.any() else None,
            )
        )
    return samples, problems


def _boxes(people: list[Person], points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes float64 [P, 4] and areas [P]: HRNet's square where centre and scale are known, else the hull."""
    hull = hulls(points)
    centre = np.stack([person.centre for person in people]) - OFFSET
    scale = np.array([person.scale for person in people])
    known = (scale > 0) & np.isfinite(centre).all(axis=-1)
    side = UNIT * scale
    corner = centre + np.stack([np.zeros_like(scale), LOWER * scale], axis=-1) - side[:, None] / 2
    boxes = np.where(known[:, None], np.concatenate([corner, side[:, None], side[:, None]], axis=-1), hull)
    area = hull[:, 2] * hull[:, 3]
    return boxes, AREA_SHARE * np.where(area > 0, area, boxes[:, 2] * boxes[:, 3])


def _read_list(path: Path, found: _People, problems: list[Problem]) -> None:
    """The people of a .json list of HRNet's kind: image, joints, joints_vis, center, scale."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            records = json.load(file)
    except json.JSONDecodeError as error:
        problems.append(Problem("bad_json", "error", f"{path}:{error.lineno}", f"not a JSON file: {error.msg}"))
        return
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        problems.append(Problem("bad_json", "error", str(path), f"cannot be read: {error}"))
        return
    if not isinstance(records, list):
        message = f"holds a {type(records).__name__}; wanted MPII's list of people (image, joints, joints_vis)"
        problems.append(Problem("bad_json", "error", str(path), message))
        return
    sizes = head_sizes_of(path, records, problems)
    for number, record in enumerate(records):
        where = f"{path}: person {number}"
        person = _person(record, where, problems)
        if person is not None:
            person.head_size = 0.0 if sizes is None else float(sizes[number])
            found.add(record["image"], where, person)


def _person(record: Any, where: str, problems: list[Problem]) -> Person | None:
    """One person of a list; None, with a problem, for anything else."""
    if not isinstance(record, dict) or not isinstance(record.get("image"), str):
        problems.append(Problem("bad_json", "error", where, "has no image; wanted image, joints and joints_vis"))
        return None
    try:
        xy = np.array(record["joints"], dtype=np.float64)
        flags = np.array(record.get("joints_vis", [1] * JOINTS), dtype=np.float64)
        centre = np.array(record.get("center", (np.nan, np.nan)), dtype=np.float64)
        scale = float(record.get("scale", 0.0))
    except (KeyError, TypeError, ValueError, OverflowError):
        problems.append(Problem("not_a_number", "error", where, "joints, joints_vis, center or scale are no numbers"))
        return None
    if xy.shape != (JOINTS, 2) or flags.shape != (JOINTS,) or centre.shape != (2,):
        message = f"joints of shape {xy.shape} and joints_vis of {flags.shape}; wanted ({JOINTS}, 2) and ({JOINTS},)"
        problems.append(Problem("wrong_count", "error", where, message))
        return None
    if not np.isin(flags, (0, 1)).all():
        message = f"joints_vis holds {flags[~np.isin(flags, (0, 1))][0]:g}; allowed: 0, 1"
        problems.append(Problem("bad_flag", "error", where, message))
        return None
    person = Person(np.concatenate([xy, np.where(flags > 0, VISIBLE, 0)[:, None]], axis=1), centre, scale)
    return person if person.sound(where, problems) else None


FORMAT = Format(
    name="mpii",
    reader=read_mpii,
    place="the folder of images, or the one that holds `images` and `annot`",
    annotations="the published .mat, or a .json of HRNet's or MMPose's kind",
    detect=is_mpii,
    parts=mpii_parts,
    images=list_mpii,
    skeleton=ORDER,
)
