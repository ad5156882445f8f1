"""COCO keypoints JSON, read where it lies: images in a folder, one annotation file.

Coordinates: a number in the file is taken as a continuous image coordinate, unchanged. (COCO's tools draw and score
that way. Strictly, its annotators clicked pixel indices, whose centres are half a pixel further; the difference is far
below what two annotators differ by.)
"""

from __future__ import annotations

import json
import logging
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stm32pose.data.coco_layout import coco_parts, find_place, has_images, is_coco, list_coco, plain_file_name
from stm32pose.data.coco_values import is_box, is_crowd, key_of, size_of
from stm32pose.data.files import image_ids, is_there, list_images
from stm32pose.data.formats import Format, Part
from stm32pose.data.images import image_size
from stm32pose.data.listed import duplicate_images, plain_inside, same_name
from stm32pose.data.problems import Problem
from stm32pose.data.sample import Sample
from stm32pose.errors import UserError
from stm32pose.skeletons.joints import JointMap, agree, map_joints, plain_name
from stm32pose.skeletons.skeleton import Skeleton

log = logging.getLogger(__name__)

LONGEST_LIST = 16 * 1024 * 1024
"""Bytes of the list of categories of a file."""

FAR = 1e7
"""Pixels: no image is as large, and float32 still tells one from the next."""


def read_coco(
    images: Path,
    skeleton: Skeleton,
    *,
    annotations: Path | None = None,
    where: str = "dataset.training_path",
    part: Part = "train",
    aliases: Mapping[str, str] | None = None,
) -> tuple[list[Sample], list[Problem]]:
    """All images that the annotation file lists and the folder holds, in the order of their names.

    Keypoints are brought into the skeleton's order by name; those it lacks are derived (`Skeleton.derive`) or stay
    unlabelled, with a warning. Sizes are the file's (`data check` compares them with the images); areas are the
    segments' where given, else the boxes'. No image is opened unless its size is missing.

    Args:
        images: folder of images; names in the file may hold sub-folders. Or the root of a download (`find_place`).
        skeleton: which keypoints are wanted, and of what category.
        annotations: the JSON; None: see `find_annotations`.
        where: the key of the configuration, for messages.
        part: which set, where `images` is the root of a download.
        aliases: `plain_name` of a keypoint in the file -> the name to read it as.

    Raises:
        UserError: no folder, no image in it, or no annotation file.
    """
    if not images.is_dir():
        list_images(images, where=where)  # says what it is instead
    images, path = find_place(images, annotations, part, where=where)
    # Sub-folders may hold what the folder itself does not.
    listed = {path.name for path in list_images(images, where=where)} if has_images(images) else set()
    problems: list[Problem] = []
    document = load_document(path, problems)
    if document is None:
        return [], problems
    chosen = _category(document, skeleton, path, problems, aliases or {})
    if chosen is None:
        return [], problems
    categories, joints, file_count = chosen
    images_by_id = _images(document, images, listed, path, problems)
    if not images_by_id and not listed:
        list_images(images, where=where)
    records = [
        record
        for record in document["annotations"]
        if isinstance(record, dict) and (categories is None or key_of(record.get("category_id")) in categories)
    ]
    _report_strays(records, document, path, problems)
    table = _Table.read(records, file_count, images_by_id, path, problems)
    keypoints = joints.apply(table.keypoints)
    samples = _samples(images_by_id, table, keypoints, path, problems)
    if records and not (keypoints[..., 2] > 0).any():
        message = "no keypoint is labelled anywhere; is this a file of boxes (instances_*.json)?"
        problems.append(Problem("no_keypoints", "error", str(path), message))
    return samples, problems


def load_document(path: Path, problems: list[Problem]) -> dict[str, Any] | None:
    """The content of an annotation file whose three lists are there; None, with a problem, for anything else."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            document = json.load(file)
    except json.JSONDecodeError as error:
        problems.append(Problem("bad_json", "error", f"{path}:{error.lineno}", f"not a JSON file: {error.msg}"))
        return None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        problems.append(Problem("bad_json", "error", str(path), f"cannot be read: {error}"))
        return None
    if not isinstance(document, dict):
        message = f"holds a {type(document).__name__}; wanted COCO's mapping of images, annotations, categories"
        problems.append(Problem("bad_json", "error", str(path), message))
        return None
    for key in ("images", "annotations"):
        if not isinstance(document.get(key), list):
            message = f"has no list '{key}'; wanted COCO's mapping of images, annotations, categories"
            problems.append(Problem("bad_json", "error", str(path), message))
            return None
    return document


def category_joints(path: Path) -> list[list[str]]:
    """Names of the keypoints of each category of an annotation file, read without the rest of it; [] where none are.

    The file may hold gigabytes: only its bytes are searched, and the list that follows "categories" is decoded.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            start = content.rfind(b'"categories"')
            text = content[start : start + LONGEST_LIST].decode("utf-8", errors="replace") if start >= 0 else ""
    except (OSError, ValueError):  # an empty file cannot be mapped
        return []
    colon, _, rest = text.removeprefix('"categories"').partition(":")
    try:
        found = json.JSONDecoder().raw_decode(rest.lstrip())[0] if not colon.strip() else []
    except (json.JSONDecodeError, RecursionError):
        return []
    joints = [item.get("keypoints") for item in found if isinstance(item, dict)] if isinstance(found, list) else []
    return [[str(name) for name in names] for names in joints if isinstance(names, list) and names]


def _category(
    document: dict[str, Any], skeleton: Skeleton, path: Path, problems: list[Problem], aliases: Mapping[str, str]
) -> tuple[set[Any] | None, JointMap, int] | None:
    """Which category ids to read (None: all), how its keypoints become ours, and how many it has."""
    listed = document.get("categories")
    categories = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    wanted = {plain_name(skeleton.category), plain_name(skeleton.name)}
    found = [item for item in categories if plain_name(item.get("name")) in wanted]
    if not found:
        by_name = [item for item in categories if agree(_called(item.get("keypoints"), aliases), skeleton)]
        found = categories if len(categories) == 1 else by_name
    if len(found) > 1 or (categories and not found):
        names = ", ".join(str(item.get("name")) for item in (found or categories)[:6])
        message = f"no single category for the skeleton {skeleton.name} (category '{skeleton.category}'): {names}"
        problems.append(Problem("no_category", "error", str(path), message))
        return None
    names = _called(found[0].get("keypoints") if found else None, aliases)
    lengths = [len(item["keypoints"]) for item in document["annotations"] if _has_keypoints(item)]
    count = len(names) if names else (max(set(lengths), key=lengths.count) // 3 if lengths else skeleton.count)
    joints = map_joints(names, skeleton, count)
    if joints is None:
        message = f"has {count} keypoints and none is called as one of the skeleton {skeleton.name}"
        problems.append(Problem("no_common_joint", "error", str(path), f"{message} ({skeleton.count} keypoints)"))
        return None
    if joints.by_order and lengths:
        message = f"no keypoint name agrees with the skeleton {skeleton.name}; its order is taken"
        problems.append(Problem("joints_by_order", "warning", str(path), message))
    if joints.missing:
        message = f"the skeleton {skeleton.name} has keypoints that this file has not, never labelled: "
        problems.append(Problem("missing_joint", "warning", str(path), message + ", ".join(joints.missing)))
    if joints.extra:
        log.info("%s: keypoints not in the skeleton %s: %s", path, skeleton.name, ", ".join(joints.extra))
    return ({key_of(found[0].get("id"))} if found else None), joints, count


def _called(names: Any, aliases: Mapping[str, str]) -> list[str] | None:
    """Keypoint names of a category, as they are to be read."""
    return [aliases.get(plain_name(name), str(name)) for name in names] if isinstance(names, list) else None


def _report_strays(
    records: list[dict[str, Any]], document: dict[str, Any], path: Path, problems: list[Problem]
) -> None:
    """Annotations of an image that the file does not list: their labels would be lost without a word."""
    known = {key_of(item.get("id")) for item in document["images"] if isinstance(item, dict)} - {None}
    strays = [record for record in records if key_of(record.get("image_id")) not in known]
    if strays:
        few = ", ".join(
            f"{str(item.get('id'))[:30]} (image_id {str(item.get('image_id'))[:30]})" for item in strays[:3]
        )
        message = f"{len(strays)} of {len(records)} annotations belong to no listed image: {few}"
        problems.append(Problem("unknown_image", "error", str(path), message + (", ..." if len(strays) > 3 else "")))


def _has_keypoints(record: Any) -> bool:
    return isinstance(record, dict) and isinstance(record.get("keypoints"), list)


def _images(
    document: dict[str, Any], folder: Path, listed: set[str], path: Path, problems: list[Problem]
) -> dict[Any, tuple[Path, tuple[int, int] | None]]:
    """Image id of the file -> its path and (H, W), in the order of the names; those not there are left out."""
    found: dict[Any, tuple[Path, tuple[int, int] | None]] = {}
    absent: list[str] = []
    named: dict[Path, str] = {}
    twice: list[tuple[str, Path]] = []
    plain = {plain_file_name(name): name for name in listed}
    for number, item in enumerate(document["images"]):
        name, key = (item.get("file_name"), key_of(item.get("id"))) if isinstance(item, dict) else (None, None)
        if not isinstance(name, str) or key is None:
            problems.append(Problem("bad_json", "error", str(path), f"images[{number}] has no file_name or no id"))
            continue
        if key in found:
            problems.append(Problem("bad_json", "error", str(path), f"images[{number}]: the id {key} is there twice"))
            continue
        inside, base = plain_inside(name), name.replace("\\", "/").rsplit("/", 1)[-1]
        if name in listed:
            image = folder / name
        elif inside and base != name and is_there(folder / inside) and (folder / inside).is_file():
            image = folder / inside
        elif base in listed:
            image = folder / base
        elif plain_file_name(base) in plain:
            image = folder / plain[plain_file_name(base)]
        elif inside is None:
            message = f"images[{number}]: file_name '{name}' leads out of {folder}; names are relative to that folder"
            problems.append(Problem("outside_folder", "error", str(path), message))
            continue
        else:
            absent.append(name)
            continue
        if same_name(named.setdefault(image, name), name):
            found[key] = (image, size_of(item))
        else:
            twice.append((name, image))
    if twice:
        problems.append(duplicate_images(twice, named, path))
    if absent:
        message = f"{len(absent)} of {len(document['images'])} listed images are not in {folder}, e.g. {absent[0]}"
        severity = "warning" if found else "error"
        problems.append(Problem("missing_image", severity, str(path), message))
    unlisted = sorted(listed - {image.name for image, _ in found.values()})
    if unlisted:
        message = f"{len(unlisted)} images of the folder are not in {path.name} and are left out, e.g. {unlisted[0]}"
        problems.append(Problem("missing_label", "warning", str(folder), message))
    return dict(sorted(found.items(), key=lambda entry: entry[1][0].as_posix()))


class _Table:
    """Annotations as arrays: the image of each, keypoints [A, F, 3], boxes [A, 4], areas [A] and crowd [A]."""

    def __init__(self, count: int, keypoints: int) -> None:
        self.image: list[Any] = []
        self.keypoints = np.zeros((count, keypoints, 3))
        self.boxes = np.zeros((count, 4))
        self.areas = np.zeros(count)
        self.heads = np.zeros(count)
        self.crowd = np.zeros(count, dtype=bool)
        self.names: list[str] = []

    @classmethod
    def read(
        cls, records: list[dict[str, Any]], file_count: int, images: dict, path: Path, problems: list[Problem]
    ) -> _Table:
        """The annotations of `images`; faulty ones are reported and left out."""
        table = cls(len(records), file_count)
        for record in records:
            if key_of(record.get("image_id")) not in images:
                continue
            name = f"{path}: annotation {record.get('id')}"
            problem = table._add(record, file_count, name)
            if problem:
                problems.append(problem)
        count = len(table.image)
        table.keypoints, table.boxes = table.keypoints[:count], table.boxes[:count]
        table.areas, table.crowd, table.heads = table.areas[:count], table.crowd[:count], table.heads[:count]
        table._check(problems)
        return table

    def _add(self, record: dict[str, Any], file_count: int, name: str) -> Problem | None:
        row = len(self.image)
        numbers = record.get("keypoints")
        if numbers is not None:
            if not isinstance(numbers, list) or len(numbers) != 3 * file_count:
                got = f"{len(numbers)} numbers" if isinstance(numbers, list) else f"a {type(numbers).__name__}"
                message = f"keypoints has {got}; wanted {3 * file_count} = 3*{file_count}"
                return Problem("wrong_count", "error", name, message)
            try:
                self.keypoints[row].flat = numbers
            except (TypeError, ValueError, OverflowError):
                self.keypoints[row] = 0
                return Problem("not_a_number", "error", name, "keypoints holds something that is no number")
        box, area = record.get("bbox"), record.get("area")
        if not is_box(box):
            self.keypoints[row] = 0
            return Problem("not_a_number", "error", name, f"bbox {str(box)[:40]} is not [x, y, width, height]")
        try:
            self.boxes[row] = box if box else 0
            self.areas[row] = area or 0
            self.heads[row] = record.get("head_size") or 0  # written by `coco_writer`
        except (TypeError, ValueError, OverflowError):
            self.keypoints[row], self.boxes[row], self.areas[row], self.heads[row] = 0, 0, 0, 0
            return Problem("not_a_number", "error", name, f"bbox {str(box)[:40]} or area {str(area)[:20]} is no number")
        self.crowd[row] = is_crowd(record.get("iscrowd"))
        self.image.append(key_of(record["image_id"]))
        self.names.append(name)
        return None

    def _check(self, problems: list[Problem]) -> None:
        """Drop rows with numbers that are no numbers or flags that are no flags; boxes without extent become hulls."""
        finite = (np.abs(self.keypoints) < FAR).all(axis=(1, 2)) & (np.abs(self.boxes) < FAR).all(axis=1)
        finite &= (np.abs(self.areas) < FAR**2) & (np.abs(self.heads) < FAR)  # all of these are false for nan
        flags = np.isin(self.keypoints[..., 2], (0, 1, 2)).all(axis=1)
        for row in np.flatnonzero(~finite):
            problems.append(
                Problem("not_finite", "error", self.names[row], "a number is nan, infinite or absurdly large")
            )
        for row in np.flatnonzero(finite & ~flags):
            bad = self.keypoints[row, :, 2][~np.isin(self.keypoints[row, :, 2], (0, 1, 2))][0]
            message = f"the flag of a keypoint is {bad:g}; allowed: 0, 1, 2"
            problems.append(Problem("bad_flag", "error", self.names[row], message))
        keep = np.flatnonzero(finite & flags)
        self.image = [self.image[row] for row in keep]
        self.names = [self.names[row] for row in keep]
        self.keypoints, self.boxes = self.keypoints[keep], self.boxes[keep]
        self.areas, self.crowd, self.heads = self.areas[keep], self.crowd[keep], self.heads[keep]
        for row in np.flatnonzero((self.boxes[:, 2:] <= 0).any(axis=1)):
            points = self.keypoints[row][self.keypoints[row, :, 2] > 0, :2]
            message = "no box"
            if len(points):
                low, high = points.min(axis=0), points.max(axis=0)
                self.boxes[row] = (*low, *(high - low))
                message += "; the hull of the keypoints is taken"
            problems.append(Problem("empty_box", "warning", self.names[row], message))
        self.areas = np.where(self.areas > 0, self.areas, self.boxes[:, 2] * self.boxes[:, 3])


def _samples(
    images: dict[Any, tuple[Path, tuple[int, int] | None]],
    table: _Table,
    keypoints: np.ndarray,
    path: Path,
    problems: list[Problem],
) -> list[Sample]:
    rows_of: dict[Any, list[int]] = {key: [] for key in images}
    for row, key in enumerate(table.image):
        rows_of[key].append(row)
    keys = list(images)
    whole = all(isinstance(key, int) and 0 <= key < 2**63 for key in keys)
    numbers = keys if whole else image_ids([str(key) for key in keys])
    samples = []
    for key, number in zip(keys, numbers, strict=True):
        image, size = images[key]
        if size is None:
            try:
                size = image_size(image)
            except UserError as error:
                problems.append(Problem("unreadable_image", "error", str(image), str(error).removeprefix(f"{image}: ")))
                continue
        rows = np.array(rows_of[key], dtype=np.int64)
        samples.append(
            Sample(
                image=image,
                size=size,
                keypoints=keypoints[rows],
                boxes=table.boxes[rows].astype(np.float32),
                areas=table.areas[rows].astype(np.float32),
                crowd=table.crowd[rows],
                image_id=number,
                source=f"{path}: image {key}",
                head_sizes=table.heads[rows].astype(np.float32) if table.heads.any() else None,
            )
        )
    return samples


FORMAT = Format(
    name="coco",
    reader=read_coco,
    place="the folder of images, or the root of a download of COCO 2014 or 2017",
    annotations="the keypoints JSON",
    detect=is_coco,
    parts=coco_parts,
    images=list_coco,
)
