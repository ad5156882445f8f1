"""DeepLabCut's labels: `CollectedData_SCORER.csv` beside the frames of `labeled-data/VIDEO/`, of one animal or several.

The first rows name scorer, (individuals,) bodyparts and coords; then comes a row a frame: its path in one cell
(`labeled-data/VIDEO/img001.png`) or in three, and x and y of each point, empty where it is not labelled. DeepLabCut
draws and labels on pixel indices, the centre of the first pixel at 0; here it is at 0.5, so half a pixel is added.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from stm32pose.data.drawn import told_extent, told_unlabelled
from stm32pose.data.files import EXTENSIONS, image_ids, list_images
from stm32pose.data.formats import Format, Part, peek
from stm32pose.data.hulls import hulls
from stm32pose.data.images import image_size
from stm32pose.data.listed import Listed, told_joints
from stm32pose.data.problems import Problem
from stm32pose.data.sample import VISIBLE, Sample
from stm32pose.errors import UserError
from stm32pose.skeletons.joints import map_joints
from stm32pose.skeletons.skeleton import Skeleton

PATTERN = "CollectedData*.csv"
HEADS = ("scorer", "individuals", "bodyparts", "coords")
FAR = 1e7


@dataclass(frozen=True, eq=False)
class _Table:
    """One CSV: name and line of each frame, body parts, and keypoints float64 [frames, animals, F, 3]."""

    frames: list[str]
    lines: list[int]
    bodyparts: list[str]
    keypoints: np.ndarray


def read_deeplabcut(
    images: Path, skeleton: Skeleton, *, annotations: Path | None = None, where: str = "dataset.training_path"
) -> tuple[list[Sample], list[Problem]]:
    """All labelled frames of a folder, of `labeled-data` or of a project, in the order of their names.

    Body parts go by name. A labelled point is visible, an empty cell not labelled. Each individual with a labelled
    point is an instance (parts outside all individuals, DeepLabCut's `single`, are one of their own); its box is the
    hull of all its points in the file, its area the box's. A frame without a labelled point is left out.

    Args:
        images: folder of frames with their CSV, or one whose sub-folders (or those of its `labeled-data`) are such.
        skeleton: which keypoints are wanted.
        annotations: the CSV; None: `CollectedData*.csv` in the folder, or in each of the sub-folders.
        where: the key of the configuration, for messages.

    Raises:
        UserError: no folder, no frame in it, or no CSV.
    """
    samples: list[Sample] = []
    problems: list[Problem] = []
    for folder, path in _files(images, annotations, where):
        table = _read_table(path, problems)
        if table is not None:
            samples += _samples(folder, path, table, skeleton, where, problems)
    samples.sort(key=lambda sample: sample.image.as_posix())
    numbers = image_ids([sample.image.relative_to(images).as_posix() for sample in samples])
    samples = [replace(sample, image_id=number) for sample, number in zip(samples, numbers, strict=True)]
    return samples, problems


def is_deeplabcut(images: Path, annotations: Path | None) -> bool:
    """Whether the CSV, or one in the folder, begins as DeepLabCut's do."""
    if annotations is None:
        found = [path for _, path in _found(images)]
        return bool(found) and _looks(found[0])
    return annotations.suffix.lower() == ".csv" and _looks(annotations)


def list_deeplabcut(images: Path, part: Part, *, where: str) -> list[Path]:
    """The frames, labelled or not, of all the folders that `read_deeplabcut` would read."""
    folders = sorted({folder for folder, _ in _found(images)}) or [images]
    return [path for folder in folders for path in list_images(folder, where=where)]


def _looks(path: Path) -> bool:
    return peek(path, size=64).lstrip().lower().startswith("scorer,")


def _found(images: Path) -> list[tuple[Path, Path]]:
    """(folder of frames, CSV) of each folder that has some."""
    for folders in ([images], _children(images / "labeled-data"), _children(images)):
        found = [(folder, path) for folder in folders for path in sorted(folder.glob(PATTERN))]
        if found:
            return found
    return []


def _children(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir()) if folder.is_dir() else []


def _files(images: Path, annotations: Path | None, where: str) -> list[tuple[Path, Path]]:
    if not images.is_dir():
        list_images(images, where=where)  # says what it is instead
    if annotations is not None:
        return [(images, annotations)]
    found = _found(images)
    key = where.replace("_path", "_annotations")
    if not found:
        raise UserError(f"{where}: no {PATTERN} in {images}, its labeled-data or its sub-folders; name it in {key}")
    for (folder, path), (other, second) in pairwise(found):
        if folder == other:
            raise UserError(
                f"{where}: two scorers in {folder}, {path.name} and {second.name}; name one of them in {key}"
            )
    return found


def _samples(
    folder: Path, path: Path, table: _Table, skeleton: Skeleton, where: str, problems: list[Problem]
) -> list[Sample]:
    joints = told_joints(map_joints(table.bodyparts, skeleton), table.bodyparts, skeleton, path, problems)
    if joints is None:
        return []
    labelled = np.any(table.keypoints[..., 2] > 0, axis=-1)
    boxes = hulls(table.keypoints).astype(np.float32)
    keypoints = joints.apply(table.keypoints)
    listed = Listed(folder, where=where, flat=any(child.suffix.lower() in EXTENSIONS for child in folder.iterdir()))
    samples, taken = [], set()
    empty: list[str] = []
    for row, (name, line) in enumerate(zip(table.frames, table.lines, strict=True)):
        image = listed.find(name)
        if image is None:
            continue
        if image in taken:
            problems.append(Problem("duplicate_image", "error", f"{path}:{line}", f"{name} is there twice"))
            continue
        taken.add(image)
        rows = np.flatnonzero(labelled[row])
        if not len(rows):
            empty.append(name)
            continue
        try:
            size = image_size(image)
        except UserError as error:
            problems.append(Problem("unreadable_image", "error", str(image), str(error).removeprefix(f"{image}: ")))
            continue
        told_extent(boxes[row, rows], f"{path}:{line}", problems)
        samples.append(
            Sample(
                image=image,
                size=size,
                keypoints=keypoints[row, rows],
                boxes=boxes[row, rows],
                areas=boxes[row, rows, 2] * boxes[row, rows, 3],
                crowd=np.zeros(len(rows), dtype=bool),
                image_id=0,
                source=f"{path}:{line}",
            )
        )
    problems += listed.problems(path)
    told_unlabelled(empty, len(table.frames), "have no labelled point", path, problems)
    return samples


def _read_table(path: Path, problems: list[Problem]) -> _Table | None:
    heads: dict[str, list[str]] = {}
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for cells in reader:
                if not any(cells):
                    continue
                name = cells[0].strip().lower()
                if not rows and name in HEADS:
                    heads[name] = [cell.strip() for cell in cells]
                else:
                    rows.append(cells)
                    lines.append(reader.line_num)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problems.append(Problem("bad_csv", "error", str(path), f"cannot be read: {error}"))
        return None
    if "bodyparts" not in heads or "coords" not in heads:
        message = "does not begin with DeepLabCut's rows scorer, (individuals,) bodyparts, coords"
        problems.append(Problem("bad_csv", "error", str(path), message))
        return None
    coords = heads["coords"]
    if "likelihood" in coords:
        message = "holds likelihoods: what a network predicted (analyze_videos), not labels"
        problems.append(Problem("bad_csv", "error", str(path), message))
        return None
    first = next((number for number, cell in enumerate(coords) if cell in ("x", "y")), len(coords))
    if {"x", "y"} != set(coords[first:]) or any(len(head) != len(coords) for head in heads.values()):
        message = "the first rows disagree: wanted x and y of every body part, in columns of equal number"
        problems.append(Problem("bad_csv", "error", str(path), message))
        return None
    return _fill(path, heads, first, rows, lines, problems)


def _fill(
    path: Path,
    heads: dict[str, list[str]],
    first: int,
    rows: list[list[str]],
    lines: list[int],
    problems: list[Problem],
) -> _Table | None:
    """The rows as arrays; broken ones are left out and reported."""
    parts, animals = heads["bodyparts"][first:], heads.get("individuals", heads["bodyparts"])[first:]
    if "individuals" not in heads:
        animals = ["" for _ in parts]
    part_of = {name: number for number, name in enumerate(dict.fromkeys(parts))}
    animal_of = {name: number for number, name in enumerate(dict.fromkeys(animals))}
    axes = [("x", "y").index(cell) for cell in heads["coords"][first:]]
    places = [(animal_of[a], part_of[p], axis) for a, p, axis in zip(animals, parts, axes, strict=True)]
    if len(set(places)) != len(places):
        problems.append(Problem("bad_csv", "error", str(path), "a body part has two columns for x or for y"))
        return None
    width = first + len(places)
    numbers = np.full((len(rows), len(places)), np.nan)
    good = []
    for row, (cells, line) in enumerate(zip(rows, lines, strict=True)):
        if len(cells) != width:
            message = f"{len(cells)} cells; the first lines have {width}"
            problems.append(Problem("wrong_count", "error", f"{path}:{line}", message))
            continue
        try:
            numbers[row] = [cell or "nan" for cell in cells[first:]]
        except ValueError:
            problems.append(Problem("not_a_number", "error", f"{path}:{line}", "a coordinate is not a number"))
            continue
        good.append(row)
    points = np.full((len(rows), len(animal_of), len(part_of), 2), np.nan)
    index = np.array(places).T
    points[:, index[0], index[1], index[2]] = numbers
    labelled = ~np.isnan(points)
    half = (labelled[..., 0] != labelled[..., 1]).any(axis=(1, 2)) | (np.abs(points) > FAR).any(axis=(1, 2, 3))
    for row in [row for row in good if half[row]]:
        message = "a point has one of x and y, or a number is absurdly large"
        problems.append(Problem("not_finite", "error", f"{path}:{lines[row]}", message))
    good = [row for row in good if not half[row]]
    visible = labelled.all(axis=-1, keepdims=True)
    keypoints = np.concatenate([np.where(visible, points + 0.5, 0.0), np.where(visible, VISIBLE, 0)], axis=-1)
    frames = ["/".join(cell.strip() for cell in rows[row][:first]) for row in good]
    return _Table(frames, [lines[row] for row in good], list(part_of), keypoints[good])


FORMAT = Format(
    name="deeplabcut",
    reader=read_deeplabcut,
    place="a video's folder in `labeled-data`, `labeled-data` itself, or the project",
    annotations="a `CollectedData_*.csv`",
    detect=is_deeplabcut,
    images=list_deeplabcut,
)
