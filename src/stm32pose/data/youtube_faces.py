"""YouTube Faces with landmarks, as its CSV: a header, then file name and x0, y0, ..., x67, y67 a row.

Coordinates are whole numbers, pixel indices: the centre of the first pixel is 0 there and 0.5 here, so half a pixel is
added. The 68 points are those of iBUG 300-W, in its order; the file names none of them.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from stm32pose.data.files import image_ids
from stm32pose.data.formats import Format, peek
from stm32pose.data.hulls import hulls
from stm32pose.data.images import image_size
from stm32pose.data.listed import Listed, told_joints
from stm32pose.data.problems import Problem
from stm32pose.data.sample import VISIBLE, Sample
from stm32pose.errors import UserError
from stm32pose.skeletons.joints import JointMap, map_joints
from stm32pose.skeletons.skeleton import Skeleton, load_skeleton

ORDER = "face68"
"""The shipped skeleton whose names a file of 68 points goes by."""

SUFFIX = "_frames_keypoints.csv"
FAR = 1e7


def read_youtube_faces(
    images: Path, skeleton: Skeleton, *, annotations: Path | None = None, where: str = "dataset.training_path"
) -> tuple[list[Sample], list[Problem]]:
    """All images that the CSV lists and the folder holds, in the order of their names.

    Every point is visible; one with both cells empty (or nan) is not labelled. A file name that comes in several rows
    has as many faces. Boxes are the hulls of the points, areas the boxes'. Only the headers of images are read.

    Args:
        images: folder of images, `training` or `test`.
        skeleton: face68, or one whose keypoints have names of it (others go by their order, where K agrees).
        annotations: the CSV; None: see `find_csv`.
        where: the key of the configuration, for messages.

    Raises:
        UserError: no folder, no image in it, or no CSV.
    """
    listed = Listed(images, where=where)
    path = annotations or find_csv(images, where=where)
    problems: list[Problem] = []
    table = _read_table(path, problems)
    if table is None:
        return [], problems
    names, lines, keypoints = table
    joints = _joints(keypoints.shape[1], skeleton, path, problems)
    if joints is None:
        return [], problems
    boxes, keypoints = hulls(keypoints).astype(np.float32), joints.apply(keypoints)
    rows_of: dict[Path, list[int]] = {}
    for row, name in enumerate(names):
        image = listed.find(name)
        if image is not None:
            rows_of.setdefault(image, []).append(row)
    problems += listed.problems(path)
    samples = []
    paths = sorted(rows_of, key=lambda image: image.as_posix())
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
                boxes=boxes[rows],
                areas=boxes[rows, 2] * boxes[rows, 3],
                crowd=np.zeros(len(rows), dtype=bool),
                image_id=number,
                source=f"{path}:{lines[rows[0]]}",
            )
        )
    return samples, problems


def is_youtube_faces(images: Path, annotations: Path | None) -> bool:
    """Whether a CSV of rows of a name and numbers is given, or one of the data set's own name is there."""
    if annotations is None:
        named = images.parent / f"{images.name}{SUFFIX}"
        return images.is_dir() and (named.is_file() or any(images.glob(f"*{SUFFIX}")))
    cells = peek(annotations, size=4096).split("\n")[0].split(",")
    return annotations.suffix.lower() == ".csv" and len(cells) > 2 and len(cells) % 2 == 1 and not cells[0].strip()


def find_csv(images: Path, *, where: str = "dataset.training_path") -> Path:
    """`<folder>_frames_keypoints.csv` beside the folder, or the only file of that ending in it or beside it.

    Raises:
        UserError: none, or several of which none has the folder's name.
    """
    folder = images.resolve()
    named = folder.parent / f"{folder.name}{SUFFIX}"
    if named.is_file():
        return named
    for place in (folder, folder.parent):
        found = sorted(place.glob(f"*{SUFFIX}"))
        if len(found) == 1:
            return found[0]
    key = where.replace("_path", "_annotations")
    raise UserError(
        f"{where}: no CSV of faces for {images} (looked for {named} and *{SUFFIX} in and beside it); name it in {key}"
    )


def _read_table(path: Path, problems: list[Problem]) -> tuple[list[str], list[int], np.ndarray] | None:
    """File names, line numbers and keypoints float64 [rows, F, 3]; None, with a problem, for anything else."""
    names, lines, rows = [], [], []
    count = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for cells in reader:
                if not any(cells):
                    continue
                if not count:
                    count = len(cells) - 1
                    if count < 2 or count % 2:
                        message = f"the first line has {len(cells)} cells; wanted 1 + 2K: a name, then x and y K times"
                        problems.append(Problem("wrong_count", "error", f"{path}:{reader.line_num}", message))
                        return None
                    if not _is_row(cells):  # the header
                        continue
                row = _row(cells, count, f"{path}:{reader.line_num}", problems)
                if row is not None:
                    names.append(cells[0].strip())
                    lines.append(reader.line_num)
                    rows.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problems.append(Problem("bad_csv", "error", str(path), f"cannot be read: {error}"))
        return None
    if not rows:
        problems.append(Problem("bad_csv", "error", str(path), "holds no row of a name and numbers"))
        return None
    points = np.stack(rows).reshape(len(rows), count // 2, 2)
    labelled = np.isfinite(points).all(axis=-1, keepdims=True)
    keypoints = np.where(labelled, points + 0.5, 0.0)
    return names, lines, np.concatenate([keypoints, np.where(labelled, VISIBLE, 0)], axis=-1)


def _is_row(cells: list[str]) -> bool:
    """Whether the first line is one of data already: a name first, and numbers that are not just 0, 1, 2, ..."""
    return bool(cells[0].strip()) and [cell.strip() for cell in cells[1:4]] != ["0", "1", "2"] and _number(cells[1])


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _row(cells: list[str], count: int, where: str, problems: list[Problem]) -> np.ndarray | None:
    """float64 [2F], nan where a cell is empty; None with a problem."""
    if len(cells) != count + 1:
        message = f"{len(cells)} cells; the first line has {count + 1}"
        problems.append(Problem("wrong_count", "error", where, message))
        return None
    try:
        row = np.array(cells[1:], dtype=np.float64)  # the whole row at once: ten times as fast as cell by cell
    except ValueError:
        wrong = next((cell for cell in cells[1:] if cell.strip() and not _number(cell)), None)
        if wrong is not None:
            problems.append(Problem("not_a_number", "error", where, f"'{wrong[:30]}' is not a number"))
            return None
        row = np.array([float(cell) if cell.strip() else np.nan for cell in cells[1:]])
    given = np.isfinite(row).reshape(-1, 2)
    if (given[:, 0] != given[:, 1]).any() or np.isinf(row).any() or (np.abs(row[np.isfinite(row)]) > FAR).any():
        problems.append(Problem("not_finite", "error", where, "a point has one number, or a number is absurdly large"))
        return None
    return row


def _joints(count: int, skeleton: Skeleton, path: Path, problems: list[Problem]) -> JointMap | None:
    faces = load_skeleton(ORDER)
    names = list(faces.keypoints) if count == faces.count else [str(number) for number in range(count)]
    joints = map_joints(names if count == faces.count else None, skeleton, count)
    return told_joints(joints, names, skeleton, path, problems)


FORMAT = Format(
    name="youtube_faces",
    reader=read_youtube_faces,
    place="the folder of images, `training` or `test`",
    annotations="the CSV, `training_frames_keypoints.csv`",
    detect=is_youtube_faces,
    skeleton=ORDER,
)
