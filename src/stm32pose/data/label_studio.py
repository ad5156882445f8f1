"""Label Studio's JSON export: tasks with regions, key points and rectangles in per cent of the image.

Coordinates are shares of the image's width and height times 100; in pixels they are continuous image coordinates, 0
the left edge of the first pixel. Label Studio knows no visibility: a point is visible, unless a choice, a text or a
per-region label of it says `occluded` or `hidden`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from stm32pose.data.drawn import (
    Box,
    DrawnImage,
    Mark,
    Rectangle,
    chosen_label,
    drawn_samples,
    named_labels,
    put_together,
    told_unlabelled,
)
from stm32pose.data.formats import Format, peek
from stm32pose.data.images import image_size
from stm32pose.data.listed import Listed
from stm32pose.data.problems import Problem
from stm32pose.data.sample import OCCLUDED, VISIBLE, Sample
from stm32pose.errors import UserError
from stm32pose.skeletons.skeleton import Skeleton

PREFIX = r"[0-9a-f]{8}-"
"""What Label Studio puts before the name of a file that is uploaded."""

FAR = 10**7
"""Pixels: no image is as large."""

MOST = 50
"""JSON files of a folder that are looked into; a folder of more holds one an image, of some other tool."""

NOT_SEEN = {"occluded", "hidden", "not visible", "invisible"}


def read_label_studio(
    images: Path, skeleton: Skeleton, *, annotations: Path | None = None, where: str = "dataset.training_path"
) -> tuple[list[Sample], list[Problem]]:
    """All images that the export names and the folder holds, in the order of their names.

    A key point goes by its label. Which rectangle (person) it belongs to says its `parentID`, else a relation between
    the two, else the rectangle that holds it; without rectangles all points of an image are one person's
    (`drawn.put_together`). Of several annotations of a task the first that was not cancelled is read; predictions
    are not. The image is found by the last parts of its address; the eight characters that an upload puts before a
    name may be there or not.

    Args:
        images: folder of images.
        skeleton: which keypoints are wanted, and of what category.
        annotations: the JSON; None: the only JSON in the folder or beside it that is such an export.
        where: the key of the configuration, for messages.

    Raises:
        UserError: no folder, no image in it, or no JSON.
    """
    listed = Listed(images, where=where)
    path = annotations or find_export(images, where=where)
    problems: list[Problem] = []
    tasks = _load(path, problems)
    if tasks is None:
        return [], problems
    parsed: list[tuple[Path, str, _Task]] = []
    several, untouched = 0, []
    for number, task in enumerate(tasks):
        place = f"{path}: task {task.get('id', number) if isinstance(task, dict) else number}"
        try:
            name, results = _address(task), _results(task)
        except _Faulty as error:
            problems.append(Problem("bad_json", "error", place, str(error)))
            continue
        several += len(results) > 1
        image = listed.find(listed.unprefixed(name, PREFIX))
        if image is None:
            continue
        if not results:
            untouched.append(name)  # nobody has looked at it yet: not an image without people
            continue
        try:
            parsed.append((image, place, _Task(results[0], image)))
        except _Faulty as error:
            problems.append(Problem("bad_json", "error", place, str(error)))
    problems += listed.problems(path)
    told_unlabelled(untouched, len(tasks), "have no annotation", path, problems)
    if several:
        message = f"{several} tasks have several annotations; the first of each is read"
        problems.append(Problem("several_annotations", "warning", str(path), message))
    label = _label_of_boxes(parsed, skeleton, path, problems)
    names = list(dict.fromkeys(mark.name for _, _, task in parsed for mark in task.marks))
    if not names:
        if parsed:
            problems.append(Problem("no_keypoints", "error", str(path), "holds no key point"))
        return [], problems
    named = named_labels([box.label for _, _, task in parsed for box in task.boxes], skeleton)
    found: dict[Path, DrawnImage] = {}
    for image, place, task in parsed:
        if image in found:
            problems.append(Problem("duplicate_image", "error", place, f"{image.name} is there twice"))
            continue
        boxes = [
            box
            for box in task.boxes
            if box.label == label or (box.group in task.parents and box.label in (named or [box.label]))
        ]
        others = [box for box in task.boxes if box not in boxes]
        found[image] = DrawnImage(image, task.size, put_together(task.marks, boxes, place, problems, others), place)
    return drawn_samples(list(found.values()), names, skeleton, path, problems), problems


def is_label_studio(images: Path, annotations: Path | None) -> bool:
    """Whether the JSON given, or the only such one found, is an export of Label Studio."""
    if annotations is not None:
        return annotations.suffix.lower() == ".json" and _looks(annotations)
    try:
        return _looks(find_export(images))
    except UserError:
        return False


def find_export(images: Path, *, where: str = "dataset.training_path") -> Path:
    """The only JSON in the folder, or beside it, that is an export of Label Studio, or the only JSON there.

    Raises:
        UserError: there is none, or there are several.
    """
    folder = images.resolve()
    for place in (folder, folder.parent):
        every = sorted(place.glob("*.json"))[:MOST]
        found = [path for path in every if _looks(path)] or every
        if len(found) == 1:
            return found[0]
    key = where.replace("_path", "_annotations")
    raise UserError(f"{where}: no single JSON of Label Studio in {folder} or beside it; name it in {key}")


class _Faulty(Exception):
    """A task that is not as Label Studio writes it; the text says why."""


class _Task:
    """The regions of one annotation, in pixels.

    Attributes:
        size: (H, W) of the image.
        marks: key points; the group is the id of the rectangle they were put under.
        boxes: rectangles; the group is their own id where points were put under them.
        parents: ids of rectangles that points were put under.
    """

    def __init__(self, results: list[dict[str, Any]], image: Path) -> None:
        self.size: tuple[int, int] | None = None
        partners: dict[Hashable, list[Hashable]] = {}
        for one, other in _relations(results):
            partners.setdefault(one, []).append(other)
        unseen = set(_unseen(results))
        points, boxes = [], []
        for item in results:
            kind, value = item.get("type"), item.get("value")
            if kind not in ("keypointlabels", "rectanglelabels") or not isinstance(value, dict):
                continue
            label = _label(value.get(kind), item)
            self.size = self.size or _size(item, image)
            if item.get("image_rotation"):
                raise _Faulty("an image that was turned in Label Studio cannot be read; turn it back there")
            if kind == "keypointlabels":
                points.append((_key(item, "id"), _key(item, "parentID"), label, *self._pixels(value, "x", "y")))
            else:
                boxes.append((_key(item, "id"), label, self._rectangle(value)))
        ids = {number for number, _, _ in boxes if number is not None}
        self.marks: list[Mark] = []
        for number, parent, label, x, y in points:
            group = next((key for key in (parent, *partners.get(number, ())) if key in ids), None)
            self.marks.append(Mark(label, x, y, OCCLUDED if number in unseen else VISIBLE, group))
        self.parents = {mark.group for mark in self.marks} - {None}
        self.boxes = [Box(label, place, number if number in self.parents else None) for number, label, place in boxes]

    def _pixels(self, value: Mapping[str, Any], across: str, down: str) -> tuple[float, float]:
        """Two shares in per cent as pixels."""
        height, width = self.size or (1, 1)
        x, y = _finite(value.get(across)), _finite(value.get(down))
        if x is None or y is None:
            got = f"{value.get(across)!r:.30} and {value.get(down)!r:.30}"
            raise _Faulty(f"{across} and {down} of a region are {got}; wanted numbers in per cent")
        if max(abs(x), abs(y)) > 200:
            raise _Faulty(
                f"{across} and {down} of a region are {x:g} and {y:g}; wanted per cent of the image, 0 to 100"
            )
        return x * width / 100, y * height / 100

    def _rectangle(self, value: Mapping[str, Any]) -> Rectangle:
        """The upright hull of a rectangle that may be turned about its left top corner."""
        (left, top), (width, height) = self._pixels(value, "x", "y"), self._pixels(value, "width", "height")
        degrees = _finite(value.get("rotation") or 0)
        if degrees is None:
            raise _Faulty(f"the rotation of a rectangle is {value['rotation']!r:.30}; wanted degrees")
        angle = math.radians(degrees)
        cosine, sine = math.cos(angle), math.sin(angle)
        corners = [(0.0, 0.0), (width, 0.0), (0.0, height), (width, height)]
        xs = [left + x * cosine - y * sine for x, y in corners]
        ys = [top + x * sine + y * cosine for x, y in corners]
        return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _load(path: Path, problems: list[Problem]) -> list[Any] | None:
    try:
        with path.open(encoding="utf-8-sig") as file:
            tasks = json.load(file)
    except json.JSONDecodeError as error:
        problems.append(Problem("bad_json", "error", f"{path}:{error.lineno}", f"not a JSON file: {error.msg}"))
        return None
    except (OSError, ValueError, RecursionError) as error:
        problems.append(Problem("bad_json", "error", str(path), f"cannot be read: {error}"))
        return None
    if isinstance(tasks, list) and tasks and all(isinstance(task, dict) for task in tasks):
        if any("annotations" in task or "completions" in task for task in tasks):
            return tasks
        message = "holds no annotations: this is JSON-MIN or a list of tasks; export as JSON"
    else:
        message = f"holds {type(tasks).__name__}; wanted Label Studio's list of tasks"
    problems.append(Problem("bad_json", "error", str(path), message))
    return None


def _looks(path: Path) -> bool:
    start = peek(path).lstrip()
    return start.startswith("[") and any(f'"{word}"' in start for word in ("annotations", "completions", "file_upload"))


def _address(task: Any) -> str:
    """The path of a task's image in its address, or the one that `local-files` was asked for, as a relative one."""
    data = task.get("data") if isinstance(task, dict) else None
    texts = [value for value in (data or {}).values() if isinstance(value, str)] if isinstance(data, dict) else []
    given = data.get("image") or data.get("img") if isinstance(data, dict) else None
    address = given if isinstance(given, str) else next((text for text in texts if "/" in text or "." in text), None)
    if not address:
        raise _Faulty("names no image (data.image)")
    try:
        parts = urlsplit(address)
        asked = parse_qs(parts.query).get("d")
    except ValueError as error:
        raise _Faulty(f"the address of the image, {address!r:.60}, is none: {error}") from error
    return (asked[0] if asked else unquote(parts.path)).replace("\\", "/").lstrip("/")


def _results(task: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    """The regions of each annotation that was not cancelled."""
    annotations = task.get("annotations") or task.get("completions") or []
    if not isinstance(annotations, list):
        raise _Faulty("annotations is no list")
    found = []
    for annotation in annotations:
        if isinstance(annotation, dict) and not annotation.get("was_cancelled"):
            result = annotation.get("result")
            if not isinstance(result, list) or not all(isinstance(item, dict) for item in result):
                raise _Faulty("the result of an annotation is no list of regions")
            found.append(result)
    return found


def _label(labels: Any, item: Mapping[str, Any]) -> str:
    if not isinstance(labels, list) or len(labels) != 1 or not isinstance(labels[0], str):
        raise _Faulty(f"region {item.get('id')} has the labels {labels!r:.60}; wanted one")
    return labels[0]


def _size(item: Mapping[str, Any], image: Path) -> tuple[int, int]:
    height, width = item.get("original_height"), item.get("original_width")
    if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0:
        if max(height, width) > FAR:
            raise _Faulty(f"the size of the image is {width!r:.20} x {height!r:.20} pixels; wanted up to {FAR}")
        return height, width
    try:
        return image_size(image)
    except UserError as error:
        raise _Faulty(str(error)) from error


def _finite(value: Any) -> float | None:
    """A number of the file as a float; None for anything else, nan, infinite, or too large to be one."""
    try:
        number = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _key(item: Mapping[str, Any], name: str) -> Hashable:
    """An id of a region; None where it has none."""
    value = item.get(name)
    if value is not None and not isinstance(value, str | int | float):
        raise _Faulty(f"{name} of a region is {value!r:.30}; wanted a text")
    return value


def _relations(results: list[dict[str, Any]]) -> Iterator[tuple[Hashable, Hashable]]:
    """(region, other region) of each relation, both ways: which of the two is a rectangle is seen later."""
    for item in results:
        if item.get("type") == "relation":
            first, second = _key(item, "from_id"), _key(item, "to_id")
            if first is not None and second is not None:
                yield from ((first, second), (second, first))


def _unseen(results: list[dict[str, Any]]) -> Iterator[Hashable]:
    """Ids of regions that somebody said are not seen."""
    for item in results:
        value = item.get("value")
        for kind in ("choices", "text", "labels", "brushlabels"):
            words = value.get(kind) if isinstance(value, dict) else None
            words = [words] if isinstance(words, str) else words
            if isinstance(words, list) and any(str(word).strip().lower() in NOT_SEEN for word in words):
                yield _key(item, "id")


def _label_of_boxes(
    parsed: list[tuple[Path, str, _Task]], skeleton: Skeleton, path: Path, problems: list[Problem]
) -> str | None:
    labels = [box.label for _, _, task in parsed for box in task.boxes if box.group not in task.parents]
    return chosen_label(labels, skeleton, path, problems) if labels else None


FORMAT = Format(
    name="label_studio",
    reader=read_label_studio,
    place="the folder of images",
    annotations="the JSON export (not JSON-MIN)",
    detect=is_label_studio,
)
