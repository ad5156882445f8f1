"""Ultralytics' YOLO-pose data sets: a data.yaml that names the sets, images in `images/...`, labels in `labels/...`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from stm32pose.data.coco_layout import has_images
from stm32pose.data.files import EXTENSIONS, image_ids, is_there
from stm32pose.data.formats import Format, Part, peek
from stm32pose.data.images import image_size
from stm32pose.data.listed import told_joints
from stm32pose.data.problems import Problem, errors_of
from stm32pose.data.sample import Sample
from stm32pose.data.yolo import Line, read_label_file
from stm32pose.errors import UserError, first_line
from stm32pose.skeletons.joints import JointMap, map_joints, plain_name
from stm32pose.skeletons.skeleton import Skeleton

PARTS: tuple[Part, ...] = ("train", "val", "test")
SUFFIXES = (".yaml", ".yml")
LARGEST = 4 * 1024 * 1024
"""Bytes of a data.yaml; a larger file is none."""


@dataclass(frozen=True)
class _Description:
    """What a data.yaml says, as far as labels go.

    Attributes:
        file: the data.yaml.
        sets: set -> its entries, folders or .txt lists, as written.
        path: where these are relative to, as written; None: the data.yaml's folder.
        count, values: keypoints an instance, numbers a keypoint (2 or 3).
        flip: where each keypoint goes in a mirror; None: not said.
        names: class number -> name.
        keypoints: class number -> names of its keypoints, where these are given.
    """

    file: Path
    sets: dict[Part, list[str]]
    path: str | None
    count: int
    values: int
    flip: list[int] | None
    names: dict[int, str]
    keypoints: dict[int, list[str]]


def read_ultralytics(
    place: Path,
    skeleton: Skeleton,
    *,
    annotations: Path | None = None,
    where: str = "dataset.training_path",
    part: Part = "train",
) -> tuple[list[Sample], list[Problem]]:
    """All images of one set of a data.yaml, in the order of their paths.

    `kpt_shape` says how many numbers a label line has; with 2 a keypoint, everything but (0, 0) is labelled and
    visible. Keypoints go by `kpt_names` where these are given, else by order; `flip_idx` must say the same of left and
    right as the skeleton does. Where `names` has several classes, the one called as the skeleton's category is read.
    An image without a label file is one without people. Only the headers of images are read.

    Args:
        place: the data.yaml, or the folder that holds it; with `annotations` also a folder of images.
        skeleton: which keypoints are wanted.
        annotations: the data.yaml, where it is not in `place`.
        where: the key of the configuration, for messages.
        part: which set.

    Raises:
        UserError: no data.yaml, or one that cannot be used, without this set, or whose images are not there.
    """
    description = _describe(place, annotations, where)
    problems: list[Problem] = []
    file = description.file
    category = _category(description, skeleton, problems)
    joints = _joints(description, category, skeleton, problems)
    if errors_of(problems) or joints is None:
        return [], problems
    _check_flip(description, joints, skeleton, problems)
    paths = _image_paths(description, place, annotations, part, where, problems)
    names = description.keypoints.get(category or 0) or [f"keypoint {number}" for number in range(description.count)]
    line = Line(names, f"kpt_shape of {file.name}", description.values, category)
    samples, missing = [], 0
    for path, number in zip(paths, image_ids([path.name for path in paths]), strict=True):
        try:
            size = image_size(path)
        except UserError as error:
            problems.append(Problem("unreadable_image", "error", str(path), str(error).removeprefix(f"{path}: ")))
            continue
        label, before = label_of(path), len(problems)
        if label.is_file():
            keypoints, boxes = read_label_file(label, size, line, problems)
            if not len(boxes) and errors_of(problems[before:]):
                continue  # somebody is there, nobody knows where
        else:
            missing += 1
            message = f"no label file {label}: an image without people"
            problems.append(Problem("missing_label", "warning", str(path), message))
            keypoints, boxes = np.zeros((0, description.count, 3)), np.zeros((0, 4), np.float32)
        samples.append(
            Sample(
                image=path,
                size=size,
                keypoints=joints.apply(keypoints),
                boxes=boxes,
                areas=boxes[:, 2] * boxes[:, 3],
                crowd=np.zeros(len(boxes), dtype=bool),
                image_id=number,
                source=str(label),
            )
        )
    if samples and missing == len(samples):
        message = f"none of the {missing} images of '{part}' has a label file, e.g. {label_of(paths[0])}"
        return [], [*errors_of(problems), Problem("missing_label", "error", str(file), message)]
    return samples, problems


def is_ultralytics(place: Path, annotations: Path | None = None) -> bool:
    """Whether a YAML with `kpt_shape` is named or lies in the folder."""
    return find_yaml(place, annotations) is not None


def ultralytics_parts(place: Path) -> tuple[Part, ...]:
    """The sets that a data.yaml names."""
    file = find_yaml(place)
    if file is None:
        return ()
    try:
        return tuple(_read_yaml(file, "dataset").sets)
    except UserError:
        return ()


def list_ultralytics(place: Path, part: Part = "train", *, where: str) -> list[Path]:
    """The images of a set, labels unread. UserError: none."""
    return _image_paths(_describe(place, None, where), place, None, part, where, [])


def find_yaml(place: Path, annotations: Path | None = None) -> Path | None:
    """The YAML with `kpt_shape` that is named or lies in the folder; None where there is none, or several."""
    file = annotations or place
    if file.suffix.lower() in SUFFIXES and file.is_file():
        return file if "kpt_shape" in peek(file) else None
    if annotations is not None or not place.is_dir():
        return None
    found = [item for suffix in SUFFIXES for item in sorted(place.glob(f"*{suffix}")) if "kpt_shape" in peek(item)]
    named = [item for item in found if item.stem == "data"]
    chosen = named or found
    return chosen[0] if len(chosen) == 1 else None


def label_of(image: Path) -> Path:
    """The label file of an image: `labels` for the last `images` of its path; else beside it."""
    parts = image.parts
    if "images" not in parts[:-1]:
        return image.with_suffix(".txt")
    position = len(parts) - 2 - parts[-2::-1].index("images")
    return Path(*parts[:position], "labels", *parts[position + 1 :]).with_suffix(".txt")


def _describe(place: Path, annotations: Path | None, where: str) -> _Description:
    file = find_yaml(place, annotations)
    if file is None:
        named = annotations or place
        if named.is_file():
            raise UserError(f"{where}: {named} has no kpt_shape; wanted the data.yaml of an Ultralytics pose data set")
        raise UserError(f"{where}: no data.yaml with kpt_shape in {place}, or several; name it in {where}")
    return _read_yaml(file, where)


def _read_yaml(file: Path, where: str) -> _Description:
    """UserError, one line, for anything that is not a data.yaml of poses."""
    try:
        if file.stat().st_size > LARGEST:
            raise UserError(f"{where}: {file} is larger than {LARGEST // 1024 // 1024} MB: no data.yaml")
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise UserError(f"{where}: {file} cannot be read: {first_line(error)}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{file}:{mark.line + 1}" if mark else str(file)
        raise UserError(f"{place}: not a YAML file: {getattr(error, 'problem', None) or first_line(error)}") from error
    if not isinstance(content, dict):
        raise UserError(f"{where}: {file} holds no mapping; wanted train, val, kpt_shape, names")
    shape = content.get("kpt_shape")
    if not (isinstance(shape, list) and len(shape) == 2 and all(type(item) is int for item in shape)):
        raise UserError(f"{file}: kpt_shape: wanted [number of keypoints, 2 or 3]")
    if not 1 <= shape[0] <= 10_000 or shape[1] not in (2, 3):
        raise UserError(f"{file}: kpt_shape: got [{shape[0]}, {shape[1]}]; wanted [1 or more, 2 or 3]")
    sets: dict[Part, list[str]] = {part: _strings(content.get(part)) for part in PARTS}
    path = content.get("path")
    return _Description(
        file=file,
        sets={part: entries for part, entries in sets.items() if entries},
        path=path if isinstance(path, str) and path else None,
        count=shape[0],
        values=shape[1],
        flip=_flip(content.get("flip_idx"), shape[0], file),
        names=_numbered(content.get("names")),
        keypoints={
            number: names
            for number, value in (content.get("kpt_names") or {}).items()
            if isinstance(number, int) and len(names := _strings(value)) == shape[0]
        }
        if isinstance(content.get("kpt_names"), dict)
        else {},
    )


def _strings(value: Any) -> list[str]:
    """A string or a list of them as a list, without what is none."""
    return [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str) and item]


def _numbered(value: Any) -> dict[int, str]:
    """`names`, a list or a mapping of numbers."""
    items = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    return {number: name for number, name in items if isinstance(number, int) and isinstance(name, str)}


def _flip(value: Any, count: int, file: Path) -> list[int] | None:
    if value is None or value == []:
        return None
    if not isinstance(value, list) or not all(type(item) is int for item in value):
        raise UserError(f"{file}: flip_idx: wanted a list of {count} whole numbers")
    if sorted(value) != list(range(count)):
        raise UserError(f"{file}: flip_idx: wanted each of 0 to {count - 1} once; kpt_shape has {count} keypoints")
    return value


def _category(description: _Description, skeleton: Skeleton, problems: list[Problem]) -> int | None:
    """The class to read; None: all, since there is but one."""
    if len(description.names) <= 1:
        return None
    wanted = {plain_name(skeleton.category), plain_name(skeleton.name)}
    found = [number for number, name in description.names.items() if plain_name(name) in wanted]
    if len(found) != 1:
        names = ", ".join(list(description.names.values())[:6])
        message = f"no single class for the skeleton {skeleton.name} (category '{skeleton.category}'): {names}"
        problems.append(Problem("no_category", "error", str(description.file), message))
        return None
    return found[0]


def _joints(
    description: _Description, category: int | None, skeleton: Skeleton, problems: list[Problem]
) -> JointMap | None:
    names = description.keypoints.get(category or 0)
    joints = map_joints(names, skeleton, description.count)
    if joints is None and not names:
        message = f"kpt_shape has {description.count} keypoints, the skeleton {skeleton.name} {skeleton.count}"
        problems.append(Problem("wrong_count", "error", str(description.file), message))
        return None
    return told_joints(joints, names or [], skeleton, description.file, problems, tell_order=bool(names))


def _check_flip(description: _Description, joints: JointMap, skeleton: Skeleton, problems: list[Problem]) -> None:
    """`flip_idx` against the skeleton's pairs, for the keypoints that both have."""
    if description.flip is None:
        return
    if description.flip == list(range(description.count)):
        if skeleton.pairs:
            message = f"flip_idx knows no left and right, the skeleton {skeleton.name} does; the skeleton's is taken"
            problems.append(Problem("flip_mismatch", "warning", str(description.file), message))
        return
    for joint, column in enumerate(joints.columns.tolist()):
        mirrored = int(joints.columns[skeleton.flip[joint]])
        if column >= 0 and mirrored >= 0 and description.flip[column] != mirrored:
            other = skeleton.keypoints[skeleton.flip[joint]]
            message = (
                f"flip_idx mirrors keypoint {column} to {description.flip[column]}, the skeleton {skeleton.name} "
                f"({skeleton.keypoints[joint]} to {other}) to {mirrored}; is the order of its keypoints another one?"
            )
            problems.append(Problem("flip_mismatch", "error", str(description.file), message))
            return


def _image_paths(
    description: _Description,
    place: Path,
    annotations: Path | None,
    part: Part,
    where: str,
    problems: list[Problem],
) -> list[Path]:
    """The images of a set, sorted, each once. UserError: no such set, or nothing there."""
    if annotations is not None and has_images(place):
        return _images_in(place)
    if part not in description.sets:
        there = ", ".join(description.sets) or "none"
        raise UserError(f"{where}: {description.file} names no set '{part}'; it names: {there}")
    found: dict[Path, None] = {}
    for entry in description.sets[part]:
        target = _locate(entry, description)
        if target is None:
            roots = _roots(description)
            looked = ", ".join(str(root)[:200] for root in roots)
            told = f"{where}: {description.file}: {part}: {entry[:200]}"
            if all(_inside(root / entry, description) is None for root in roots):
                raise UserError(f"{told} leads out of the data set (of {looked}); say in `path` where the images are")
            raise UserError(f"{told} is not there (looked in {looked})")
        images = _images_in(target) if target.is_dir() else _listed(target, description, problems)
        found.update(dict.fromkeys(images))
    if not found:
        raise UserError(f"{where}: {description.file}: no image in {', '.join(description.sets[part])}")
    return sorted(found, key=lambda path: path.as_posix())


def _roots(description: _Description) -> list[Path]:
    """Folders that entries may be relative to: `path` (from the data.yaml, or from here), then the data.yaml's own."""
    beside = description.file.parent
    if description.path is None:
        return [beside]
    return list(dict.fromkeys([beside / description.path, Path(description.path), beside, beside.parent]))


def _allowed(description: _Description) -> list[Path]:
    """What the data set's own files are in: the data.yaml's folder and its `path`."""
    beside = description.file.parent
    return [beside] if description.path is None else [beside, beside / description.path, Path(description.path)]


def _locate(entry: str, description: _Description) -> Path | None:
    """A folder or list that a data.yaml names; `../train/images` is looked for without its `../` too (Roboflow)."""
    for name in dict.fromkeys([entry, entry.removeprefix("../")]):
        for root in _roots(description):
            target = _inside(root / name, description)
            if target is not None and is_there(target):
                return target
    return None


def _inside(place: Path, description: _Description) -> Path | None:
    """`place` without `..`; None where it leads out of the data.yaml's folder and of its `path`.

    What a download says must not make a data set of any other pictures here. `..` is taken out before the disk is
    asked; symbolic links inside the data set, which somebody has made here, are followed.
    """
    plain = Path(os.path.abspath(place))  # noqa: PTH100 (`resolve` would follow symbolic links)
    if not any(plain.is_relative_to(os.path.abspath(root)) for root in _allowed(description)):  # noqa: PTH100
        return None
    return Path(os.path.normpath(place))


def _images_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file()]


def _listed(file: Path, description: _Description, problems: list[Problem]) -> list[Path]:
    """Images of a .txt list, one path a line, relative to the list or to the data set."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem("unreadable_label", "error", str(file), f"cannot be read: {first_line(error)}"))
        return []
    images: list[Path] = []
    outside: list[str] = []
    for number, line in enumerate(lines, start=1):
        name = line.strip()
        if not name:
            continue
        roots = [file.parent, *_roots(description)]
        places = [place for root in roots if (place := _inside(root / name, description)) is not None]
        path = next((place for place in places if is_there(place) and place.is_file()), None)
        if not places:
            outside.append(f"{number}: {name[:200]}")
        elif path is None:
            problems.append(Problem("missing_image", "warning", f"{file}:{number}", f"there is no image {name[:200]}"))
        elif path.suffix.lower() in EXTENSIONS:
            images.append(path)
    if outside:
        message = f"{len(outside)} of its lines lead out of the data set, e.g. line {outside[0]}"
        problems.append(Problem("outside_folder", "error", str(file), message))
    return images


FORMAT = Format(
    name="ultralytics",
    reader=read_ultralytics,
    place="the data.yaml, or the folder that holds it",
    annotations="the data.yaml, where `training_path` is a folder without it",
    detect=is_ultralytics,
    parts=ultralytics_parts,
    images=list_ultralytics,
)
