"""Where COCO's images and annotation files lie: a folder with its JSON, or the root of a download of 2014 or 2017."""

from __future__ import annotations

import os
import re
from pathlib import Path

from stm32pose.data.files import EXTENSIONS, list_images
from stm32pose.data.formats import Part, peek
from stm32pose.errors import UserError

PARTS: tuple[Part, ...] = ("train", "val")
"""Test sets of COCO come without labels."""

YEARS = ("2017", "2014", "")

_PREFIX = re.compile(r"^COCO_(?:train|val|test)\d{4}_")


def plain_file_name(name: str) -> str:
    """`000000000009.jpg` of `COCO_train2014_000000000009.jpg`: 2017 dropped what 2014 put before the number."""
    return _PREFIX.sub("", name)


def is_coco(place: Path, annotations: Path | None = None) -> bool:
    """Whether a JSON mapping is named, or found for a folder, or `place` is the root of a download."""
    if annotations is not None:
        return peek(annotations, size=4096).lstrip()[:1] == "{"
    if coco_parts(place):
        return True
    try:
        return peek(find_annotations(place), size=4096).lstrip()[:1] == "{"
    except UserError:
        return False


def coco_parts(place: Path) -> tuple[Part, ...]:
    """The sets of a download whose root is `place`; () where it is a folder of images."""
    if not (place / "annotations").is_dir() or has_images(place):
        return ()
    return tuple(part for part in PARTS if _of_root(place, part))


def find_place(
    place: Path, annotations: Path | None = None, part: Part = "train", *, where: str = "dataset.training_path"
) -> tuple[Path, Path]:
    """The folder of images and the annotation file that `place` stands for.

    The root of a download (its `annotations` holds `person_keypoints_train2017.json` or the like, its images lie in
    `train2017`, `images/train2017`, `train2014`, ...) stands for the set `part`; with `annotations` for the one whose
    folder that file's name holds. Any other folder stands for itself.

    Raises:
        UserError: there is no annotation file (`find_annotations`), or the root has not this set.
    """
    if annotations is not None:
        named = [] if has_images(place) else [item for item in _folders(place) if item.name in annotations.stem]
        return (named[0] if named else place), annotations
    there = coco_parts(place)
    if not there:
        return place, find_annotations(place, where=where)
    found = _of_root(place, part)
    if found is None:
        raise UserError(f"{where}: {place} is a download of COCO without the set '{part}'; it has: {', '.join(there)}")
    return found


def list_coco(place: Path, part: Part = "train", *, where: str) -> list[Path]:
    """The images of a place, labels unread. UserError: none."""
    found = _of_root(place, part) if coco_parts(place) else None
    return list_images(found[0] if found else place, where=where)


def find_annotations(images: Path, *, where: str = "dataset.training_path") -> Path:
    """The annotation file of a folder of images.

    Looked for: `annotations/person_keypoints_<folder>.json` beside the folder (or beside the `images` that holds it),
    then inside the folder, beside it and in the `annotations` beside it the only JSON file, or the only one whose name
    holds the folder's, one of people's keypoints before others.

    Raises:
        UserError: none, or several and none of that name; the message says where was looked.
    """
    folder = images.resolve()
    above = [folder.parent]
    if folder.parent.name == "images":
        above.append(folder.parent.parent)
    named = [place / "annotations" / f"person_keypoints_{folder.name}.json" for place in above]
    for file in named:
        if file.is_file():
            return file
    places = [folder, *above, *(place / "annotations" for place in above)]
    several = ""
    for place in places:
        found = sorted(place.glob("*.json")) if place.is_dir() else []
        alike = [item for item in found if folder.name in item.stem]
        if len(alike) > 1:
            alike = [item for item in alike if item.stem.startswith("person_keypoints")] or alike
        if len(found) == 1 or len(alike) == 1:
            return alike[0] if alike else found[0]
        if found:
            several = f"; {place} has several: {', '.join(item.name for item in found[:4])}"
            break
    key = where.replace("_path", "_annotations")
    looked = ", ".join(f"{place}/*.json" for place in places)
    raise UserError(
        f"{where}: no COCO annotation file for {images} (looked for {named[0]}, {looked}){several}; name it in {key}"
    )


def has_images(folder: Path) -> bool:
    """Whether an image lies directly in the folder."""
    try:
        with os.scandir(folder) as entries:
            return any(entry.name.lower().endswith(EXTENSIONS) for entry in entries)
    except OSError:
        return False


def _of_root(root: Path, part: Part) -> tuple[Path, Path] | None:
    """Folder of images and annotation file of a set of a download, the newer year first."""
    for year in YEARS:
        annotations = root / "annotations" / f"person_keypoints_{part}{year}.json"
        if not annotations.is_file():
            continue
        places = [root / f"{part}{year}", root / "images" / f"{part}{year}", root / part, root / "images" / part]
        for images in [*places, root / "images"]:
            if has_images(images):
                return images, annotations
    return None


def _folders(root: Path) -> list[Path]:
    """Folders of images directly inside `root` and inside its `images`, those of longer names first."""
    found = [
        item
        for place in (root, root / "images")
        if place.is_dir()
        for item in place.iterdir()
        if item.is_dir() and has_images(item)
    ]
    return sorted(found, key=lambda item: (-len(item.name), item.as_posix()))
