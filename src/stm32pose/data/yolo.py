"""YOLO Darknet labels: a text file an image, a line a person, `class xc yc w h  x1 y1 v1 ... xK yK vK`.

All numbers but class and flags are shares of the image's width or height; a coordinate in pixels is share * size,
unchanged (continuous image coordinates). Flags: 0 not labelled, 1 labelled, 2 visible. ST writes 0 and 1 only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from stm32pose.data.files import EXTENSIONS, image_ids, list_images, place_image
from stm32pose.data.formats import Format
from stm32pose.data.images import image_size
from stm32pose.data.problems import Problem, errors_of
from stm32pose.data.sample import HIDDEN, VISIBLE, Sample
from stm32pose.errors import UserError
from stm32pose.files import write_whole
from stm32pose.skeletons.joints import JointMap, map_joints
from stm32pose.skeletons.skeleton import Skeleton

HEADER = 5
"""Numbers before the keypoints: class, box centre x and y, box width and height."""

FAR_OUTSIDE = 0.5
"""Shares of an image further outside than this are no shares: somebody wrote pixels."""

NOT_LABELS = ("classes.txt", "obj.names.txt", "readme.txt")
"""What lies beside labels and is none, unless an image has that stem."""


@dataclass(frozen=True)
class Line:
    """What a line of a label file holds.

    Attributes:
        names: of its keypoints.
        owner: who wants so many, for messages: "the skeleton person13".
        values: numbers a keypoint, 3 with a flag, 2 without: labelled then is what is not exactly (0, 0).
        category: the class to read, others are passed over; None: all.
    """

    names: Sequence[str]
    owner: str
    values: int = 3
    category: int | None = None

    @classmethod
    def of(cls, skeleton: Skeleton) -> Line:
        """All keypoints of a skeleton, with flags."""
        return cls(skeleton.keypoints, f"the skeleton {skeleton.name}")

    @property
    def numbers(self) -> int:
        return HEADER + self.values * len(self.names)


def read_yolo(
    images: Path, skeleton: Skeleton, *, annotations: Path | None = None, where: str = "dataset.training_path"
) -> tuple[list[Sample], list[Problem]]:
    """All images of a folder with their labels, paired by stem, in the order of their names.

    An image without a label file is left out and reported; an empty label file is an image without people. Broken lines
    are left out and reported as errors. Areas are the boxes' areas. Only the headers of images are read.

    Args:
        images: folder of images, flat.
        skeleton: says how many keypoints a line must have.
        annotations: folder of label files; None: beside the images, else `labels` in the place of `images` in the path.
        where: the key of the configuration, for messages.

    Raises:
        UserError: no folder, or no image in it.
    """
    paths = list_images(images, where=where)
    folder = label_folder(images, annotations)
    stems = label_stems(folder, images)
    line, joints = _line([folder / name for name in stems.values()], skeleton)
    samples: list[Sample] = []
    problems: list[Problem] = []
    seen: dict[str, Path] = {}
    for path, number in zip(paths, image_ids([path.name for path in paths]), strict=True):
        if path.stem in seen:
            message = f"{seen[path.stem].name} has the same stem, so both take the labels of {path.stem}.txt"
            problems.append(Problem("same_stem", "warning", str(path), message))
        seen[path.stem] = path
        if path.stem not in stems:
            message = f"no label file {folder / path.stem}.txt; the image is left out"
            problems.append(Problem("missing_label", "warning", str(path), message))
            continue
        try:
            size = image_size(path)
        except UserError as error:
            problems.append(Problem("unreadable_image", "error", str(path), str(error).removeprefix(f"{path}: ")))
            continue
        label = folder / stems[path.stem]
        before = len(problems)
        keypoints, boxes = read_label_file(label, size, line, problems)
        if not len(boxes) and errors_of(problems[before:]):
            continue  # somebody is there, nobody knows where
        samples.append(
            Sample(
                image=path,
                size=size,
                keypoints=joints.apply(keypoints) if joints else keypoints,
                boxes=boxes,
                areas=boxes[:, 2] * boxes[:, 3],
                crowd=np.zeros(len(boxes), dtype=bool),
                image_id=number,
                source=str(label),
            )
        )
    for stem in sorted(stems.keys() - seen.keys()):
        message = f"no image of this stem in {images}; the labels are left out"
        problems.append(Problem("missing_image", "warning", str(folder / stems[stem]), message))
    return samples, problems


def _line(files: Sequence[Path], skeleton: Skeleton) -> tuple[Line, JointMap | None]:
    """What a line holds, and how its keypoints become ours; None where the skeleton has no keypoint map: they are ours.

    Raises:
        ConfigError: the map (`dataset.keypoint_map`) gives names, which these files have not, or an index too high.
    """
    if skeleton.keypoint_map is None:
        return Line.of(skeleton), None
    count = next(filter(None, map(_keypoints_a_line, files)), skeleton.count)
    names = [f"keypoint {number}" for number in range(count)]
    return Line(names, f"the first of these files, with {count} keypoints,"), map_joints(None, skeleton, count)


def _keypoints_a_line(path: Path) -> int:
    """Of the first line of a label file; 0 where it has none, or is broken."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            words = next((line.split() for line in file if line.strip()), [])
    except (OSError, UnicodeDecodeError):
        return 0
    return (len(words) - HEADER) // 3 if len(words) > HEADER and (len(words) - HEADER) % 3 == 0 else 0


def label_folder(images: Path, annotations: Path | None = None) -> Path:
    """Where the label files are: given, or beside the images, or in the `labels` that stands beside `images`."""
    if annotations is not None:
        return annotations
    own = [name for name in _names_in(images, (".txt",)) if name.lower() not in NOT_LABELS]
    if "images" in images.parts and not own:
        position = len(images.parts) - 1 - images.parts[::-1].index("images")
        other = Path(*images.parts[:position], "labels", *images.parts[position + 1 :])
        if other.is_dir():
            return other
    return images


def label_stems(folder: Path, images: Path | None = None) -> dict[str, str]:
    """Stem -> name of each label file in `folder`, whatever the case of its extension.

    Args:
        folder: of the label files.
        images: of the images, which tell a `readme.txt` from the labels of `readme.jpg`; None: `folder` too.
    """
    if not folder.is_dir():
        return {}
    names = _names_in(folder, (".txt",))
    doubtful = [name for name in names if name.lower() in NOT_LABELS]
    if doubtful:
        pictures = {Path(name).stem for name in _names_in(images or folder, EXTENSIONS)}
        names = [name for name in names if name not in doubtful or Path(name).stem in pictures]
    return {Path(name).stem: name for name in sorted(names)}


def _names_in(folder: Path, extensions: tuple[str, ...]) -> list[str]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.name.lower().endswith(extensions)]


def read_label_file(
    path: Path, size: tuple[int, int], wanted: Line, problems: list[Problem]
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints float32 [N, K, 3] and boxes float32 [N, 4] in pixels of one label file; adds to `problems`.

    Args:
        path: the label file; CRLF, blank lines and a byte order mark are all right.
        size: (H, W) of its image.
        wanted: what a line holds.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem("unreadable_label", "error", str(path), f"cannot be read: {error}"))
        lines = None
    rows = []
    for number, line in enumerate(lines or (), start=1):
        if not line.strip():
            continue
        found, row = _parse_line(line, wanted, f"{path}:{number}")
        problems.extend(found)
        if row is not None:
            rows.append(row)
    if lines is not None and not any(line.strip() for line in lines):
        problems.append(Problem("empty_label", "warning", str(path), "no label: an image without people"))
    count = len(wanted.names)
    table = np.array(rows, dtype=np.float64).reshape(len(rows), HEADER + 3 * count)
    height, width = size
    keypoints = table[:, HEADER:].reshape(len(rows), count, 3).copy()
    keypoints[keypoints[..., 2] == 0] = 0
    keypoints[..., :2] *= (width, height)
    boxes = table[:, 1:HEADER] * (width, height, width, height)
    boxes[:, :2] -= boxes[:, 2:] / 2
    return keypoints.astype(np.float32), boxes.astype(np.float32)


def _parse_line(line: str, wanted: Line, where: str) -> tuple[list[Problem], np.ndarray | None]:
    """The numbers of one line, three a keypoint; or None with what is wrong with it, if anything is."""
    words = line.split()
    try:
        row = np.array([float(word) for word in words])
    except ValueError:
        word = next(word for word in words if not _is_number(word))
        return [Problem("not_a_number", "error", where, f"'{word[:30]}' is not a number")], None
    if wanted.category is not None and row[0] != wanted.category:
        return [], None
    if len(row) != wanted.numbers:
        return [Problem("wrong_count", "error", where, _count_message(len(row), wanted))], None
    if not np.isfinite(row).all():
        return [Problem("not_finite", "error", where, f"number {_first(~np.isfinite(row))} is nan or infinite")], None
    if wanted.values == 2:
        pairs = row[HEADER:].reshape(-1, 2)
        flags = np.where((pairs != 0).any(axis=1), VISIBLE, HIDDEN)[:, None]
        row = np.concatenate([row[:HEADER], np.concatenate([pairs, flags], axis=1).ravel()])
    points = row[HEADER:].reshape(-1, 3)
    problems = []
    bad = ~np.isin(points[:, 2], (0, 1, 2))
    if bad.any():
        joint = _first(bad) - 1
        message = f"the flag of {wanted.names[joint]} is {points[joint, 2]:g}; allowed: 0, 1, 2"
        return [Problem("bad_flag", "error", where, message)], None
    labelled = points[:, 2] > 0
    outside = labelled & ((points[:, :2] < 0) | (points[:, :2] > 1)).any(axis=1)
    if outside.any():
        joint = _first(outside) - 1
        x, y = points[joint, :2]
        far = bool((np.abs(points[outside, :2] - 0.5) > 0.5 + FAR_OUTSIDE).any())
        text = f"{wanted.names[joint]} is at ({x:g}, {y:g}), outside 0..1"
        if far:
            text += "; coordinates are shares of the image, not pixels"
        problems.append(Problem("outside_image", "error" if far else "warning", where, text))
        if far:
            return problems, None
    if (np.abs(row[1:3] - 0.5) > 0.5 + FAR_OUTSIDE).any() or (np.abs(row[3:5]) > 1 + FAR_OUTSIDE).any():
        message = "the box is outside 0..1; coordinates are shares of the image, not pixels"
        return [*problems, Problem("outside_image", "error", where, message)], None
    if (row[3:5] <= 0).any():
        problems.append(_mend_box(row, points[labelled], where))
    return problems, row


def _mend_box(row: np.ndarray, labelled: np.ndarray, where: str) -> Problem:
    """A box without extent becomes the hull of the labelled points."""
    message = f"the box is {row[3]:g} x {row[4]:g}"
    if len(labelled):
        low, high = labelled[:, :2].min(axis=0), labelled[:, :2].max(axis=0)
        row[1:3], row[3:5] = (low + high) / 2, high - low
        message += "; the hull of the keypoints is taken"
    else:
        row[3:5] = 0
    return Problem("empty_box", "warning", where, message)


def _count_message(count: int, wanted: Line) -> str:
    text = f"{wanted.owner} wants {wanted.numbers} = 5+{wanted.values}*{len(wanted.names)}"
    if count == HEADER:
        return f"5 numbers: a box without keypoints; {text}"
    if count > HEADER and (count - HEADER) % wanted.values == 0:
        return f"{count} numbers = 5+{wanted.values}*{(count - HEADER) // wanted.values}; {text}"
    if wanted.values == 3 and count > HEADER and (count - HEADER) % 2 == 0:
        return f"{count} numbers = 5+2*{(count - HEADER) // 2}: keypoints without flags?; {text}"
    return f"{count} numbers; {text}"


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _first(mask: np.ndarray) -> int:
    """Position of the first true value, counted from 1."""
    return int(np.flatnonzero(mask)[0]) + 1


def label_text(sample: Sample, *, flags: Literal["keep", "st"] = "keep") -> str:
    """The label file of `sample`: a line an instance that is no crowd. `st` writes 1 for every labelled point."""
    height, width = sample.size
    lines = []
    for keypoints, box, crowd in zip(sample.keypoints, sample.boxes, sample.crowd, strict=True):
        if crowd:
            continue
        points = keypoints.astype(np.float64) / (width, height, 1)
        if flags == "st":
            points[:, 2] = points[:, 2] > 0
        left, top, box_width, box_height = box.astype(np.float64)
        centre = ((left + box_width / 2) / width, (top + box_height / 2) / height)
        numbers = [0.0, *centre, box_width / width, box_height / height, *points.ravel()]
        lines.append(" ".join(repr(round(float(number), 9)) for number in numbers))
    return "".join(f"{line}\n" for line in lines)


def write_yolo(
    samples: Iterable[Sample],
    folder: Path,
    skeleton: Skeleton,
    *,
    flags: Literal["keep", "st"] = "keep",
    link: bool = False,
    names: Sequence[str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write images and labels of `samples` into the flat `folder`; returns how many images were written anew.

    Every file is written whole or not at all, the image before its label, so that an interrupted run leaves no half
    file and can be repeated; images that are there already are kept, labels are written again.

    Args:
        samples: their keypoints must be in the order of `skeleton`.
        folder: made where it is missing.
        flags: `keep` writes visibility 0, 1, 2; `st` 0 and 1, as ST's converter does.
        link: hard-link the images where the file system can.
        names: what to call each image; None: as it is called.
        progress: called with the number of samples done.

    Raises:
        UserError: two images have the same stem, or a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    taken: dict[str, Path] = {}
    written = 0
    for count, sample in enumerate(samples, start=1):
        name = sample.image.name if names is None else names[count - 1]
        if sample.keypoints.shape[1:] != (skeleton.count, 3):
            raise ValueError(f"{sample.image}: keypoints {sample.keypoints.shape}; wanted [N, {skeleton.count}, 3]")
        stem = Path(name).stem
        if stem in taken:
            raise UserError(f"{folder / stem}.txt: two images want it, {taken[stem]} and {sample.image}")
        taken[stem] = sample.image
        try:
            written += place_image(sample.image, folder / name, link=link)
            write_whole(folder / f"{stem}.txt", label_text(sample, flags=flags), sync=False)
        except OSError as error:
            raise UserError(f"{folder / stem}: cannot be written: {error.strerror or error}") from error
        if progress:
            progress(count)
    return written


def is_yolo(images: Path, annotations: Path | None = None) -> bool:
    """Whether a folder of labels is named, or an image of the folder has a label file of its stem."""
    if annotations is not None:
        return annotations.is_dir()
    if not images.is_dir():
        return False
    stems = label_stems(label_folder(images), images)
    return bool(stems) and any(
        path.stem in stems for path in images.iterdir() if path.name.lower().endswith(EXTENSIONS)
    )


FORMAT = Format(
    name="yolo",
    reader=read_yolo,
    place="the folder of images",
    annotations="the folder of label files; absent: beside the images, or `labels/...` for `images/...`",
    detect=is_yolo,
)
