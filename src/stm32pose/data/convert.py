"""From COCO's folders to ST's label files: which images and people are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from stm32pose.data.problems import Problem
from stm32pose.data.readers import scan_samples
from stm32pose.data.sample import Sample
from stm32pose.errors import UserError
from stm32pose.skeletons.skeleton import Skeleton

KEYPOINTS = {17: "coco17", 13: "person13"}
"""Number of keypoints -> skeleton, for the converter's `--keypoints`."""

SETS = ("val", "train")
"""In ST's order."""


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
