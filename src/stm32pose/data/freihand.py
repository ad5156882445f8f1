"""Hands: FreiHAND's camera matrices and 3-D joints, and MMPose's COCO-style files of FreiHAND and OneHand10K."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from stm32pose.data.coco import read_coco
from stm32pose.data.coco_layout import has_images
from stm32pose.data.files import image_ids, list_images
from stm32pose.data.formats import Format, Part, peek
from stm32pose.data.hulls import hulls
from stm32pose.data.images import image_size
from stm32pose.data.listed import told_joints
from stm32pose.data.problems import Problem
from stm32pose.data.sample import VISIBLE, Sample
from stm32pose.errors import UserError
from stm32pose.skeletons.joints import map_joints
from stm32pose.skeletons.skeleton import Skeleton, load_skeleton

ORDER = "hand21"
JOINTS = 21
FAR = 1e7
NAMES: dict[Part, str] = {"train": "training", "val": "evaluation"}
"""What FreiHAND calls its sets: `training_K.json`, `training_xyz.json`, `training/rgb`."""


def read_freihand(
    place: Path,
    skeleton: Skeleton,
    *,
    annotations: Path | None = None,
    where: str = "dataset.training_path",
    part: Part = "train",
) -> tuple[list[Sample], list[Problem]]:
    """The images of one set of FreiHAND, in the order of their names; one hand each.

    A joint is where the camera sees it: (x, y) = (u / w, v / w) of (u, v, w) = K xyz, image coordinates as they stand.
    Image i belongs to record i modulo their number: the training set shows each of its 32,560 hands before four
    backgrounds. All joints are labelled, those behind others too, and taken for visible. Boxes are their hulls.

    Args:
        place: the root of the download, or a folder of its images (`training/rgb`).
        skeleton: hand21, or one whose joints have names of it.
        annotations: the `training_xyz.json` (`training_K.json` must lie beside it), or a COCO-style file as MMPose's.
        where: the key of the configuration, for messages.
        part: which set, where `place` is the root: `training` for train, `evaluation` for val.

    Raises:
        UserError: no folder, no image in it, or no labels.
    """
    if annotations is not None and peek(annotations, size=4096).lstrip()[:1] == "{":
        return read_coco(place, skeleton, annotations=annotations, where=where)
    images, xyz_file = _find(place, annotations, part, where)
    matrix_file = xyz_file.with_name(xyz_file.name.replace("_xyz", "_K"))
    paths = list_images(images, where=where)
    problems: list[Problem] = []
    names = load_skeleton(ORDER).keypoints
    joints = told_joints(map_joints(names, skeleton), names, skeleton, xyz_file, problems)
    xyz = _array(xyz_file, (JOINTS, 3), problems)
    matrices = _array(matrix_file, (3, 3), problems)
    if joints is None or xyz is None or matrices is None:
        return [], problems
    if len(xyz) != len(matrices):
        message = f"{len(matrices)} matrices for the {len(xyz)} hands of {xyz_file.name}"
        problems.append(Problem("wrong_count", "error", str(matrix_file), message))
        return [], problems
    seen = np.einsum("nij,nkj->nki", matrices, xyz)
    with np.errstate(divide="ignore", invalid="ignore"):
        points = seen[..., :2] / seen[..., 2:]
    good = (np.abs(points) < FAR).all(axis=(1, 2)) & (seen[..., 2] > 0).all(axis=1)
    points = np.concatenate([np.where(good[:, None, None], points, 0.0), np.full((*seen.shape[:2], 1), VISIBLE)], -1)
    boxes, keypoints = hulls(points).astype(np.float32), joints.apply(points)
    samples, told = [], set()
    if len(paths) > len(xyz):
        message = (
            f"{len(paths)} images of {len(xyz)} hands: several show the same hand before other backgrounds, and a "
            "validation_split would put them on both sides; hold the evaluation set out, or the images of some hands"
        )
        problems.append(Problem("repeated_hand", "warning", str(images), message))
    for path, number in zip(paths, image_ids([path.name for path in paths]), strict=True):
        if not (path.stem.isascii() and path.stem.isdecimal()):
            message = "its name is no number, so that nothing tells which record is its; the image is left out"
            problems.append(Problem("missing_label", "warning", str(path), message))
            continue
        row = int(path.stem) % len(xyz)
        source = f"{xyz_file}: record {row}"
        if not good[row]:
            if row not in told:
                message = "a joint is behind the camera, or a number is nan, infinite or absurdly large"
                problems.append(Problem("not_finite", "error", source, message))
            told.add(row)
            continue
        try:
            size = image_size(path)
        except UserError as error:
            problems.append(Problem("unreadable_image", "error", str(path), str(error).removeprefix(f"{path}: ")))
            continue
        box = boxes[row : row + 1]
        samples.append(
            Sample(
                image=path,
                size=size,
                keypoints=keypoints[row : row + 1],
                boxes=box,
                areas=box[:, 2] * box[:, 3],
                crowd=np.zeros(1, dtype=bool),
                image_id=number,
                source=source,
            )
        )
    return samples, problems


def is_freihand(place: Path, annotations: Path | None = None) -> bool:
    """Whether `..._xyz.json` with `..._K.json` beside it is named, or lies where FreiHAND has it."""
    if annotations is not None:
        matrix = annotations.with_name(annotations.name.replace("_xyz", "_K"))
        return "_xyz" in annotations.name and annotations.is_file() and matrix.is_file()
    return bool(freihand_parts(place)) or _own_labels(place) is not None


def freihand_parts(place: Path) -> tuple[Part, ...]:
    """The sets whose images and labels are in the root `place`."""
    return tuple(part for part, name in NAMES.items() if _labels(place, name) and has_images(place / name / "rgb"))


def list_freihand(place: Path, part: Part = "train", *, where: str) -> list[Path]:
    """The images of a place, labels unread. UserError: none."""
    return list_images(place / NAMES[part] / "rgb" if part in freihand_parts(place) else place, where=where)


def _find(place: Path, annotations: Path | None, part: Part, where: str) -> tuple[Path, Path]:
    """The folder of images and the file of 3-D joints."""
    there = freihand_parts(place)
    if annotations is not None:
        name = annotations.name.split("_xyz")[0]
        return (place / name / "rgb" if there and not has_images(place) else place), annotations
    if there:
        file = _labels(place, NAMES[part]) if part in there else None
        if file is None:
            raise UserError(f"{where}: {place} has no set '{part}' of FreiHAND; it has: {', '.join(there)}")
        return place / NAMES[part] / "rgb", file
    file = _own_labels(place)
    if file is None:
        list_images(place, where=where)
        key = where.replace("_path", "_annotations")
        raise UserError(
            f"{where}: no labels of FreiHAND for {place} (wanted training_xyz.json and training_K.json in the folder "
            f"that holds training/rgb); name the first in {key}"
        )
    return place, file


def _labels(root: Path, name: str) -> Path | None:
    file = root / f"{name}_xyz.json"
    return file if file.is_file() and (root / f"{name}_K.json").is_file() else None


def _own_labels(images: Path) -> Path | None:
    """The labels of `training/rgb` or `training`, from the folder above."""
    folder = images.resolve()
    above = folder.parent if folder.name == "rgb" else folder
    return _labels(above.parent, above.name)


def _array(path: Path, shape: tuple[int, int], problems: list[Problem]) -> np.ndarray | None:
    """A JSON list of matrices, float64 [records, *shape]; None, with a problem."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            content: Any = json.load(file)
        array = np.array(content, dtype=np.float64)
    except json.JSONDecodeError as error:
        problems.append(Problem("bad_json", "error", f"{path}:{error.lineno}", f"not a JSON file: {error.msg}"))
        return None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        problems.append(Problem("bad_json", "error", str(path), f"cannot be read: {error}"))
        return None
    except (TypeError, ValueError, OverflowError):
        array = np.zeros(0)
    if array.ndim != 3 or array.shape[1:] != shape or not len(array):
        message = f"wanted a list of matrices of {shape[0]} x {shape[1]} numbers"
        problems.append(Problem("wrong_count", "error", str(path), message))
        return None
    return array


def read_onehand10k(
    place: Path,
    skeleton: Skeleton,
    *,
    annotations: Path | None = None,
    where: str = "dataset.training_path",
    part: Part = "train",
) -> tuple[list[Sample], list[Problem]]:
    """The images of OneHand10K that MMPose's COCO-style file lists, in the order of their names.

    Args:
        place: the root of the download (names in the file hold `Train/source`), or the folder of images.
        skeleton: hand21, or one whose joints have names of it.
        annotations: the JSON; None: `annotations/onehand10k_train.json` (val and test: `..._test.json`) of the root.
        where: the key of the configuration, for messages.
        part: which set, where `place` is the root.

    Raises:
        UserError: no folder, no image, or no annotation file.
    """
    file = annotations or _onehand(place, part)
    if file is None:
        there = ", ".join(onehand10k_parts(place)) or "none"
        key = where.replace("_path", "_annotations")
        looked = place / "annotations" / f"onehand10k_{part}.json"
        raise UserError(f"{where}: no {looked}; sets there: {there}; name the file in {key}")
    return read_coco(place, skeleton, annotations=file, where=where)


def is_onehand10k(place: Path, annotations: Path | None = None) -> bool:
    """Whether the annotation file has the data set's name, or lies where MMPose has it."""
    if annotations is not None:
        return annotations.name.startswith("onehand10k") and peek(annotations, size=4096).lstrip()[:1] == "{"
    return bool(onehand10k_parts(place))


def onehand10k_parts(place: Path) -> tuple[Part, ...]:
    """The sets whose annotation files are there."""
    return tuple(part for part in ("train", "test") if _onehand(place, part))


def list_onehand10k(place: Path, part: Part = "train", *, where: str) -> list[Path]:
    """The images of a place, labels unread. UserError: none."""
    inside = place / ("Train" if part == "train" else "Test") / "source"
    return list_images(inside if _onehand(place, part) and inside.is_dir() else place, where=where)


def _onehand(root: Path, part: Part) -> Path | None:
    file = root / "annotations" / f"onehand10k_{part}.json"
    return file if file.is_file() else None


FORMAT = Format(
    name="freihand",
    reader=read_freihand,
    place="the root of the download, or its `training/rgb`",
    annotations="the `training_xyz.json` (`training_K.json` beside it), or MMPose's COCO-style file",
    detect=is_freihand,
    parts=freihand_parts,
    images=list_freihand,
    skeleton=ORDER,
)

ONEHAND10K = Format(
    name="onehand10k",
    reader=read_onehand10k,
    place="the root of the download, or the folder of images",
    annotations="MMPose's COCO-style file; absent: `annotations/onehand10k_train.json` of the root",
    detect=is_onehand10k,
    parts=onehand10k_parts,
    images=list_onehand10k,
    skeleton=ORDER,
)
