"""CVAT's export "CVAT for images 1.1": an XML that names images, and skeletons, points and boxes in each.

Coordinates are continuous image pixels already: 0 is the left edge of the first pixel, 0.5 its centre. `outside` is
visibility 0, `occluded` 1, else 2. (CVAT's other export, COCO Keypoints, is read by `coco`.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from stm32pose.data.drawn import (
    Box,
    Drawn,
    DrawnImage,
    Mark,
    Rectangle,
    adopt_boxes,
    chosen_label,
    drawn_samples,
    put_together,
    told_unlabelled,
)
from stm32pose.data.formats import Format, peek
from stm32pose.data.listed import Listed
from stm32pose.data.problems import Problem
from stm32pose.data.sample import HIDDEN, OCCLUDED, VISIBLE, Sample
from stm32pose.errors import UserError
from stm32pose.skeletons.skeleton import Skeleton

FAR = 1e7
CHUNK = 1 << 20

Attributes = Mapping[str, str]


class Refused(Exception):
    """The file is well-formed and still not read; the text says why."""


def read_cvat(
    images: Path, skeleton: Skeleton, *, annotations: Path | None = None, where: str = "dataset.training_path"
) -> tuple[list[Sample], list[Problem]]:
    """All images that the XML lists and the folder holds, in the order of their names.

    A skeleton element is an instance, its points go by name. Single points, labelled with a keypoint's name, are put
    together by `group_id`, else by the boxes that hold them (`drawn.put_together`). A box without a group belongs to
    the skeleton whose points it holds; one that holds nobody's is an instance without keypoints. Where no box was
    drawn it is the hull of the points. Other shapes are left out, and so is an image without any shape, which nobody
    may have looked at.

    Args:
        images: folder of images; names in the file may hold sub-folders.
        skeleton: which keypoints are wanted, and of what category.
        annotations: the XML; None: `annotations.xml` in the folder or beside it, or the only XML there.
        where: the key of the configuration, for messages.

    Raises:
        UserError: no folder, no image in it, or no XML.
    """
    listed = Listed(images, where=where)
    path = annotations or find_xml(images, where=where)
    problems: list[Problem] = []
    content = _parse(path, problems)
    if content is None:
        return [], problems
    label = content.label(skeleton, path, problems)
    if problems:
        return [], problems
    found: dict[Path, DrawnImage] = {}
    untouched: list[str] = []
    for record in content.images:
        image = listed.find(record.name)
        if image is not None:
            if image in found:
                problems.append(Problem("duplicate_image", "error", str(path), f"{record.name} is there twice"))
                continue
            if not record.touched:
                untouched.append(record.name)
                continue
            people = record.people(label, f"{path}: image {record.name}", problems)
            found[image] = DrawnImage(image, record.size, people, f"{path}: image {record.name}")
    problems += listed.problems(path)
    told_unlabelled(untouched, len(content.images), "hold no shape", path, problems)
    return drawn_samples(list(found.values()), content.joints(label), skeleton, path, problems), problems


def is_cvat(images: Path, annotations: Path | None) -> bool:
    """Whether the XML given, or found, is CVAT's."""
    if annotations is None:
        try:
            annotations = find_xml(images)
        except UserError:
            return False
    return annotations.suffix.lower() == ".xml" and "<annotations" in peek(annotations, size=2048)


def find_xml(images: Path, *, where: str = "dataset.training_path") -> Path:
    """`annotations.xml`, or the only XML, in the folder or beside it.

    Raises:
        UserError: none, or several without that name.
    """
    folder = images.resolve()
    for place in (folder, folder.parent):
        named = place / "annotations.xml"
        found = [named] if named.is_file() else sorted(place.glob("*.xml"))
        if len(found) == 1:
            return found[0]
    key = where.replace("_path", "_annotations")
    raise UserError(f"{where}: no annotations.xml in {folder} or beside it; name CVAT's file in {key}")


class _Image:
    """One `image` element as it was written."""

    def __init__(self, attributes: Attributes) -> None:
        self.name = attributes["name"]
        self.touched = False
        width, height = int(attributes.get("width", 0)), int(attributes.get("height", 0))
        self.size = (height, width) if width > 0 and height > 0 else None
        self.skeletons: list[tuple[str, Attributes, dict[str, tuple[float, float, int]]]] = []
        self.marks: list[Mark] = []
        self.boxes: list[Box] = []

    def people(self, label: str | None, where: str, problems: list[Problem]) -> list[Drawn]:
        boxes = [box for box in self.boxes if box.label == label]
        skeletons = [(attributes, points) for name, attributes, points in self.skeletons if name == label]
        if self.marks and not skeletons:
            others = [box for box in self.boxes if box.label != label]
            return put_together(self.marks, boxes, where, problems, others)
        # A box in the group of a skeleton is its box, whatever its label.
        of_group = {box.group: box.place for box in self.boxes if box.group is not None}
        groups = {_group(attributes) for attributes, _ in skeletons} - {None}
        people = [Drawn(dict(points), of_group.pop(_group(attributes), None)) for attributes, points in skeletons]
        return adopt_boxes(people, [box.place for box in boxes if box.group is None or box.group not in groups])


class _Content:
    """Takes in what the parser finds; nothing else of the file is kept in memory.

    A document type, which alone can define entities, is refused before anything it says is read.
    """

    def __init__(self) -> None:
        self.images: list[_Image] = []
        self._image: _Image | None = None
        self._skeleton: dict[str, tuple[float, float, int]] | None = None

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise Refused("holds a DOCTYPE, which no export of CVAT has; not read")

    def start(self, tag: str, attrs: Attributes, /) -> None:
        if tag == "track":
            raise Refused("is an export for video (it has tracks); export the task as 'CVAT for images 1.1'")
        if tag == "image":
            self._image = _Image(attrs)
            self.images.append(self._image)
        elif self._image is not None:
            self._shape(tag, attrs, self._image)

    def end(self, tag: str, /) -> None:
        if tag == "image":
            self._image = None
        elif tag == "skeleton":
            self._skeleton = None

    def data(self, data: str, /) -> None:
        """Text between elements says nothing here."""

    def close(self) -> None:
        """No tree was built."""

    def _shape(self, tag: str, attrs: Attributes, image: _Image) -> None:
        image.touched = image.touched or tag not in ("tag", "attribute")
        if tag == "skeleton":
            self._skeleton = {}
            image.skeletons.append((attrs["label"], attrs, self._skeleton))
        elif tag == "points":
            label, points = attrs["label"], _points(attrs["points"])
            visibility = OCCLUDED if attrs.get("occluded") == "1" else VISIBLE
            if self._skeleton is not None:
                self._skeleton[label] = (*points[0], HIDDEN if attrs.get("outside") == "1" else visibility)
            elif len(points) > 1:
                # Several points in one shape have no names but their order.
                named = {str(number): (*point, visibility) for number, point in enumerate(points)}
                image.skeletons.append((label, attrs, named))
            elif attrs.get("outside") != "1":
                image.marks.append(Mark(label, *points[0], visibility, _group(attrs)))
        elif tag == "box" and attrs.get("outside") != "1":
            image.boxes.append(Box(attrs["label"], _rectangle(attrs), _group(attrs)))

    def label(self, skeleton: Skeleton, path: Path, problems: list[Problem]) -> str | None:
        """The label of skeletons, else of boxes, that is meant; None where there are single points alone."""
        labels = [name for image in self.images for name, _, _ in image.skeletons]
        labels = labels or [box.label for image in self.images for box in image.boxes]
        if labels:
            return chosen_label(labels, skeleton, path, problems)
        elif not any(image.marks for image in self.images):
            message = "holds no skeleton, no points and no box"
            problems.append(Problem("no_keypoints", "error", str(path), message))
        return None

    def joints(self, label: str | None) -> list[str]:
        """Names of keypoints, in the order in which they come."""
        named = [points for image in self.images for name, _, points in image.skeletons if name == label]
        names = dict.fromkeys(name for points in named for name in points)
        names.update(dict.fromkeys(mark.name for image in self.images for mark in image.marks))
        return list(names)


def _parse(path: Path, problems: list[Problem]) -> _Content | None:
    content = _Content()
    parser = ElementTree.XMLParser(target=content)  # noqa: S314 (a DOCTYPE is refused: nothing can expand)
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                parser.feed(chunk)
        parser.close()
    except ElementTree.ParseError as error:
        problems.append(Problem("bad_xml", "error", f"{path}:{error.position[0]}", f"not an XML file: {error.msg}"))
        return None
    except Refused as error:
        problems.append(Problem("bad_xml", "error", str(path), str(error)))
        return None
    except (KeyError, ValueError) as error:
        what = f"an element has no {error}" if isinstance(error, KeyError) else str(error)
        image = f": image {content.images[-1].name}" if content.images else ""
        problems.append(Problem("bad_xml", "error", f"{path}{image}", what))
        return None
    except OSError as error:
        problems.append(Problem("bad_xml", "error", str(path), f"cannot be read: {error}"))
        return None
    return content


def _points(text: str) -> list[tuple[float, float]]:
    """`x,y;x,y` as pairs. ValueError: it is something else."""
    pairs = [pair.split(",") for pair in text.split(";")]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"points is '{text[:40]}'; wanted x,y;x,y")
    return [(_number(x), _number(y)) for x, y in pairs]


def _rectangle(attributes: Attributes) -> Rectangle:
    """The upright hull of a box that may be turned, by degrees, about its centre."""
    left, top, right, bottom = (_number(attributes[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
    angle = math.radians(_number(attributes.get("rotation", "0")))
    cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
    width, height = abs(right - left), abs(bottom - top)
    wide, high = width * cosine + height * sine, width * sine + height * cosine
    return (left + right - wide) / 2, (top + bottom - high) / 2, wide, high


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"'{text[:30]}' is not a number") from None
    if not math.isfinite(value) or abs(value) > FAR:
        raise ValueError(f"'{text[:30]}' is nan, infinite or absurdly large")
    return value


def _group(attributes: Attributes) -> str | None:
    group = attributes.get("group_id")
    return None if group in (None, "", "0") else group


FORMAT = Format(
    name="cvat",
    reader=read_cvat,
    place="the folder of images",
    annotations="CVAT's `annotations.xml` (CVAT for images 1.1)",
    detect=is_cvat,
)
