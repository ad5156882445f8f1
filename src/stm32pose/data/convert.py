"""Labels from any reader to one of the two writers; and which people ST's converter keeps of COCO."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stm32pose.data.coco_writer import write_coco
from stm32pose.data.files import place_image
from stm32pose.data.images import image_size
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


def claim_folder(folder: Path, record: dict[str, Any], files: Collection[str] = ()) -> list[str]:
    """Make `folder` ours; returns which files of an earlier conversion of the same are not among these.

    Until `release_folder` the marker names both, so that what an interrupted conversion leaves is known too.

    Args:
        folder: where to write; new, empty, or of an earlier conversion.
        record: what is converted, and how; JSON-able, without the key "files".
        files: what will be written, relative to `folder`.

    Raises:
        UserError: the folder holds something else than what `record` will write there.
    """
    marker = folder / MARKER
    if marker.is_file():
        try:
            found = json.loads(marker.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            found = None
        found = found if isinstance(found, dict) else {}
        listed = found.pop("files", [])
        if found != record:
            wrong = next((key for key in record if found.get(key) != record[key]), "source")
            raise UserError(
                f"{folder}: holds another conversion (of {found.get('source') or 'something'}; another '{wrong}'); "
                "remove it or name another folder"
            )
        earlier = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
        _write_marker(folder, record, [*earlier, *files])
        return sorted(set(earlier) - set(files))
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: not empty, and not made by this command; name another folder")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; name a folder")
    _write_marker(folder, record, files)
    return []


def release_folder(folder: Path, record: dict[str, Any], files: Collection[str], stale: Collection[str]) -> None:
    """Remove what an earlier conversion wrote and this one did not (`stale`), so that `folder` holds `files` alone.

    Raises:
        UserError: a file cannot be removed.
    """
    for name in stale:
        path = folder / name
        try:
            if not path.parent.resolve().is_relative_to(folder.resolve()):
                continue  # somebody wrote into the marker
            with suppress(FileNotFoundError):
                path.unlink()
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: of an earlier conversion, cannot be removed: {error}") from error
    _write_marker(folder, record, files)


def _write_marker(folder: Path, record: dict[str, Any], files: Collection[str]) -> None:
    write_whole(folder / MARKER, json.dumps(record | {"files": sorted(set(files))}, indent=1) + "\n")


def files_of(samples: Sequence[Sample], *, to: Literal["coco", "yolo"], part: str | None = None) -> list[str]:
    """What `convert_samples` will write, relative to its folder."""
    names = _names([sample for sample in samples if sample.region is None], stems=to == "yolo")
    if to == "yolo":
        inside = f"{part}/" if part else ""
        return [f"{inside}{name}" for image in names for name in (image, f"{Path(image).stem}.txt")]
    return [_annotations(part), *(f"{part or 'images'}/{name}" for name in names)]


def _annotations(part: str | None) -> str:
    return f"annotations/person_keypoints_{part}.json" if part else "annotations.json"


def check_sizes(samples: Sequence[Sample]) -> tuple[list[Sample], list[Problem]]:
    """The samples whose images are as large as their labels say (headers only), and the faults of the others.

    Shares of a wrong size would put every point elsewhere.
    """
    kept, problems = [], []
    for sample in samples:
        try:
            height, width = image_size(sample.image)
        except UserError as error:
            text = str(error).removeprefix(f"{sample.image}: ")
            problems.append(Problem("unreadable_image", "error", str(sample.image), text))
            continue
        if (height, width) == tuple(sample.size):
            kept.append(sample)
            continue
        text = f"the image is {width} x {height} pixels, its labels say {sample.size[1]} x {sample.size[0]}"
        problems.append(Problem("size_mismatch", "error", str(sample.image), text))
    return kept, problems


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
    file = folder / _annotations(part)
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
