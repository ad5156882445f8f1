"""Labels from any reader to one of the two writers; and which people ST's converter keeps of COCO."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stm32pose.data.coco_writer import write_coco
from stm32pose.data.files import place_image
from stm32pose.data.problems import Problem
from stm32pose.data.readers import scan_samples
from stm32pose.data.sample import Sample
from stm32pose.data.yolo import write_yolo
from stm32pose.errors import UserError
from stm32pose.files import write_whole
from stm32pose.skeletons.skeleton import Skeleton

KEYPOINTS = {17: "coco17", 13: "person13"}
"""Number of keypoints -> skeleton, for the converter's `--keypoints`."""

SETS = ("val", "train")
"""In ST's order."""

MARKER = ".stm32pose_convert"
"""File that says what a folder was converted from, and so that it may be written again."""


@dataclass(frozen=True)
class Converted:
    """What became of one set.

    Attributes:
        folder: of the images.
        images, new: how many there are, and were written anew.
        instances: how many people (hands, ...) are labelled in them.
        lost: what the format cannot hold, empty where nothing is lost.
    """

    folder: Path
    images: int
    new: int
    instances: int
    lost: str


def claim_folder(folder: Path, record: dict[str, Any]) -> None:
    """Make `folder` ours, or raise UserError where it holds something else than what `record` will write there."""
    marker = folder / MARKER
    if marker.is_file():
        try:
            found = json.loads(marker.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            found = None
        if found != record:
            other = found.get("source") if isinstance(found, dict) else None
            raise UserError(
                f"{folder}: holds another conversion (of {other or 'something'}); remove it or name another folder"
            )
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: not empty, and not made by this command; name another folder")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; name a folder")
    write_whole(marker, json.dumps(record, indent=1) + "\n")


def convert_samples(
    samples: Sequence[Sample],
    folder: Path,
    skeleton: Skeleton,
    *,
    to: Literal["coco", "yolo"],
    part: str | None = None,
    link: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Converted:
    """Write one set into `folder`; an interrupted conversion can be repeated and goes on.

    coco: `folder/images` and `folder/annotations.json`; of a set `part` ("train"): `folder/train` and
    `folder/annotations/person_keypoints_train.json`, the layout of COCO's own download.
    yolo: images and label files in `folder`, of a set in `folder/train`. Images of the same name are told apart by the
    names of their folders.

    Args:
        samples: their keypoints must be in the order of `skeleton`.
        progress: called with the number of images done.

    Raises:
        UserError: a file cannot be written.
    """
    samples = [sample for sample in samples if sample.region is None]
    names = _names(samples, stems=to == "yolo")
    if to == "yolo":
        target = folder / part if part else folder
        new = write_yolo(samples, target, skeleton, link=link, names=names, progress=progress)
        return Converted(target, len(samples), new, _people(samples, crowds=False), _lost(samples))
    target = folder / (part or "images")
    file = folder / "annotations" / f"person_keypoints_{part}.json" if part else folder / "annotations.json"
    new = 0
    for count, (sample, name) in enumerate(zip(samples, names, strict=True), start=1):
        try:
            new += place_image(sample.image, target / name, link=link)
        except OSError as error:
            raise UserError(f"{target / name}: cannot be written: {error.strerror or error}") from error
        if progress:
            progress(count)
    write_coco(samples, file, skeleton, names=names)
    return Converted(target, len(samples), new, _people(samples, crowds=True), "")


def _names(samples: Sequence[Sample], *, stems: bool) -> list[str]:
    """A name an image, all different (`stems`: also without their suffixes); folders tell equal ones apart."""
    for depth in range(1, 1 + max((len(sample.image.parts) for sample in samples), default=0)):
        names = ["_".join(sample.image.parts[-depth:]).replace("/", "_") for sample in samples]
        keys = [Path(name).stem if stems else name for name in names]
        if len(set(keys)) == len(keys):
            return names
    return [f"{number:08d}_{sample.image.name}" for number, sample in enumerate(samples)]


def _people(samples: Sequence[Sample], *, crowds: bool) -> int:
    return int(sum(sample.instances if crowds else (~sample.crowd).sum() for sample in samples))


def _lost(samples: Sequence[Sample]) -> str:
    """What YOLO's lines cannot hold of these samples."""
    crowds = sum(int(sample.crowd.sum()) for sample in samples)
    areas = sum(
        int((~sample.crowd & ~np.isclose(sample.areas, sample.boxes[:, 2:].prod(axis=1), rtol=1e-4)).sum())
        for sample in samples
    )
    heads = sum(int((sample.head_sizes > 0).sum()) for sample in samples if sample.head_sizes is not None)
    parts = ["the names of the keypoints and of the category"]
    parts += [f"{areas} areas of segments"] if areas else []
    parts += [f"{heads} head sizes"] if heads else []
    parts += [f"{crowds} crowds, left out"] if crowds else []
    return f"YOLO labels cannot hold: {', '.join(parts)}"


def find_set(folder: Path, name: str) -> tuple[Path, Path]:
    """Image folder and annotation file of a set ("train", "val"): `train2017` or `train`, and its file of people.

    Raises:
        UserError: one of the two is missing; the message says what was looked for.
    """
    folders = [folder / f"{name}2017", folder / name]
    images = next((item for item in folders if item.is_dir()), None)
    if images is None:
        raise UserError(f"{name}: no folder {folders[0]} or {folders[1]}")
    files = [folder / "annotations" / f"person_keypoints_{item.name}.json" for item in [images, *folders]]
    annotations = next((item for item in files if item.is_file()), None)
    if annotations is None:
        raise UserError(f"{name}: no annotation file {' or '.join(dict.fromkeys(map(str, files)))}")
    return images, annotations


def select_people(
    images: Path, annotations: Path, skeleton: Skeleton, pose: Literal["single", "multi"]
) -> tuple[list[Sample], list[Problem]]:
    """The images ST's data set holds, and the faults met (faulty people are left out).

    single: exactly one person who is no crowd, with a labelled keypoint. (ST's converter counted crowds as people.)
    multi: images where anyone has a labelled keypoint; people without one stay, crowds and people without a box go.

    Raises:
        UserError: no image in the folder.
    """
    samples, problems = scan_samples(
        images, skeleton, format="coco", annotations=annotations, pose=pose, where="--path"
    )
    kept = []
    for sample in samples:
        rows = np.flatnonzero(~sample.crowd & (sample.boxes[:, 2:] > 0).all(axis=1))
        if len(rows) and (sample.keypoints[rows, :, 2] > 0).any():
            kept.append(sample.only(rows.tolist()))
    return kept, problems
