"""COCO keypoints JSON of samples, written item by item: images, annotations, and one category with its joints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from stm32pose.data.sample import Sample
from stm32pose.errors import UserError
from stm32pose.files import replacing
from stm32pose.skeletons.skeleton import Skeleton

DECIMALS = 4
"""Of coordinates in pixels: far below what an annotator, or float32, can tell."""


def write_coco(
    samples: Sequence[Sample], path: Path, skeleton: Skeleton, *, names: Sequence[str] | None = None
) -> Path:
    """Write the annotation file of `samples`; returns `path`.

    The numbers of images are the samples', where these are all different, else their places. Where the labels have
    head sizes, annotations get a key of our own, `head_size`, which `coco.read_coco` reads and others pass over.

    Args:
        samples: their keypoints must be in the order of `skeleton`.
        path: the JSON; written whole or not at all.
        skeleton: names the category and its keypoints and limbs.
        names: `file_name` of each image; None: the names of their files.

    Raises:
        UserError: the file cannot be written.
    """
    numbers = [sample.image_id for sample in samples]
    if len(set(numbers)) < len(numbers):
        numbers = list(range(1, len(samples) + 1))
    files = names if names is not None else [sample.image.name for sample in samples]
    category = {
        "id": 1,
        "name": skeleton.category,
        "supercategory": skeleton.category,
        "keypoints": list(skeleton.keypoints),
        "skeleton": [[first + 1, second + 1] for first, second in skeleton.edges],
    }
    images = (
        {"id": number, "file_name": name, "height": int(sample.size[0]), "width": int(sample.size[1])}
        for number, name, sample in zip(numbers, files, samples, strict=True)
    )
    people = ((number, sample, row) for number, sample in zip(numbers, samples, strict=True) for row in _rows(sample))
    annotations = (
        _annotation(count, number, sample, row) for count, (number, sample, row) in enumerate(people, start=1)
    )
    try:
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.write('{"categories": ' + json.dumps([category]))
            _write_list(file, "images", images)
            _write_list(file, "annotations", annotations)
            file.write("}\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def _rows(sample: Sample) -> range:
    return range(sample.instances)


def _annotation(count: int, image: int, sample: Sample, row: int) -> dict[str, Any]:
    points = sample.keypoints[row].astype(np.float64).round(DECIMALS)
    record: dict[str, Any] = {
        "id": count,
        "image_id": image,
        "category_id": 1,
        "keypoints": [number if place % 3 < 2 else int(number) for place, number in enumerate(points.ravel().tolist())],
        "num_keypoints": int((points[:, 2] > 0).sum()),
        "bbox": sample.boxes[row].astype(np.float64).round(DECIMALS).tolist(),
        "area": round(float(sample.areas[row]), DECIMALS),
        "iscrowd": int(sample.crowd[row]),
    }
    if sample.head_sizes is not None and sample.head_sizes[row] > 0:
        record["head_size"] = round(float(sample.head_sizes[row]), DECIMALS)
    return record


def _write_list(file: TextIO, key: str, items: Any) -> None:
    """`, "key": [item,` and so on, one item a line."""
    file.write(f',\n"{key}": [')
    for number, item in enumerate(items):
        file.write((",\n" if number else "\n") + json.dumps(item))
    file.write("]")
