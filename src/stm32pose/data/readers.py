"""Labelled images to `Sample`s, whatever the label format; faults counted and named before anything is trained."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from stm32pose.data.coco import find_annotations, read_coco
from stm32pose.data.files import image_ids, list_images
from stm32pose.data.images import image_size
from stm32pose.data.problems import Problem, count_by_code, errors_of, first_few
from stm32pose.data.sample import Sample
from stm32pose.data.yolo import label_folder, label_stems, read_yolo
from stm32pose.errors import ConfigError, UserError, did_you_mean
from stm32pose.skeletons.skeleton import Skeleton

log = logging.getLogger(__name__)

Reader = Callable[..., tuple[list[Sample], list[Problem]]]

READERS: dict[str, Reader] = {"yolo": read_yolo, "coco": read_coco}
"""Label format -> `reader(images, skeleton, *, annotations, where) -> (samples, problems)`."""


def read_samples(
    images: Path,
    skeleton: Skeleton,
    *,
    format: str = "auto",
    annotations: Path | None = None,
    pose: Literal["single", "multi"] = "single",
    instance: Literal["image", "crop"] = "image",
    crop_margin: float = 0.25,
    where: str = "dataset.training_path",
) -> list[Sample]:
    """The labelled images of a folder, in the order of their names; no pixel is read.

    Args:
        images: folder of images.
        skeleton: which keypoints are wanted, in which order.
        format: a name of `READERS`, or "auto".
        annotations: the COCO JSON, or the folder of YOLO label files; None: looked for.
        pose: "single" keeps images with exactly one person (crowds not counted) who has a labelled keypoint; "multi"
            keeps all, those without people too.
        instance: "crop" makes a sample of every person who has a labelled keypoint, whatever `pose` says.
        crop_margin: how much larger than the box a crop is, as a share of the box.
        where: the key of the configuration, for messages.

    Raises:
        UserError: a label is faulty (the first few are named), or nothing is left to use.
        ConfigError: no such format.
    """
    samples, problems = scan_samples(
        images,
        skeleton,
        format=format,
        annotations=annotations,
        pose=pose,
        instance=instance,
        crop_margin=crop_margin,
        where=where,
    )
    errors = errors_of(problems)
    if errors:
        count = f"{len(errors)} faults" if len(errors) > 1 else "a fault"
        more = "; `stm32pose data check` lists them all" if len(errors) > 3 else ""
        raise UserError(f"{where}: {count} in the labels of {images}: {first_few(errors)}{more}")
    for code, count in count_by_code(problems).items():
        first = next(problem for problem in problems if problem.code == code)
        level = logging.INFO if code == "left_out" else logging.WARNING
        log.log(level, "%s: %s%s", where, f"{count} x {code}, e.g. " if count > 1 else "", first)
    if not samples:
        reason = next((problem.message for problem in problems if problem.code == "left_out"), None)
        raise UserError(f"{where}: no usable image in {images}: {reason or first_few(problems) or 'none is labelled'}")
    return samples


def scan_samples(
    images: Path,
    skeleton: Skeleton,
    *,
    format: str = "auto",
    annotations: Path | None = None,
    pose: Literal["single", "multi"] = "single",
    instance: Literal["image", "crop"] = "image",
    crop_margin: float = 0.25,
    where: str = "dataset.training_path",
) -> tuple[list[Sample], list[Problem]]:
    """As `read_samples`, but faults are returned, and what is faulty is left out.

    Raises:
        UserError: no folder, no image in it, no annotation file.
        ConfigError: no such format.
    """
    images = Path(images)
    name = detect_format(images, annotations, where=where) if format == "auto" else format
    if name not in READERS:
        allowed = ["auto", *READERS]
        raise ConfigError(f"dataset.format: got '{name}'; allowed: {', '.join(allowed)}{did_you_mean(name, allowed)}")
    everything, problems = READERS[name](images, skeleton, annotations=annotations, where=where)
    if instance == "crop":
        return [crop for sample in everything for crop in crops(sample, crop_margin)], problems
    if pose == "multi":
        return everything, problems
    samples, left_out = _single(everything)
    if left_out:
        problems.append(Problem("left_out", "warning", str(images), left_out))
    return samples, problems


def read_images(images: Path, *, annotations: Path | None = None, where: str, keypoints: int = 0) -> list[Sample]:
    """The images of a folder without their labels, for calibration; with `annotations` (JSON), those that it lists.

    Raises:
        UserError: no folder, no image, or an unreadable one.
    """
    paths = list_images(Path(images), where=where)
    if annotations is not None and annotations.is_file():
        from stm32pose.data.coco import load_document

        problems: list[Problem] = []
        document = load_document(annotations, problems)
        if document is None:
            raise UserError(f"{where}: {first_few(problems)}")
        names = {Path(str(item.get("file_name"))).name for item in document["images"] if isinstance(item, dict)}
        paths = [path for path in paths if path.name in names]
        if not paths:
            raise UserError(f"{where}: none of the images that {annotations} lists is in {images}")
    none = np.zeros(0, np.float32)
    return [
        Sample(
            image=path,
            size=image_size(path),
            keypoints=np.zeros((0, keypoints, 3), np.float32),
            boxes=np.zeros((0, 4), np.float32),
            areas=none,
            crowd=none.astype(bool),
            image_id=number,
            source=str(path),
        )
        for path, number in zip(paths, image_ids([path.name for path in paths]), strict=True)
    ]


def detect_format(images: Path, annotations: Path | None = None, *, where: str = "dataset.training_path") -> str:
    """`coco` where a JSON is given or found, `yolo` where label files lie beside the images.

    Raises:
        UserError: neither; the message says where was looked.
    """
    if annotations is not None:
        return "yolo" if annotations.is_dir() else "coco"
    paths = list_images(images, where=where)
    folder = label_folder(images)
    if label_stems(folder).keys() & {path.stem for path in paths}:
        return "yolo"
    try:
        find_annotations(images, where=where)
    except UserError as error:
        raise UserError(f"{error}; and no label file NAME.txt in {folder}") from None
    return "coco"


def crops(sample: Sample, margin: float) -> list[Sample]:
    """One sample a person who has a labelled keypoint and is no crowd; its region is the box grown by `margin`.

    The region may reach beyond the image. Keypoints stay in the frame of the whole image.
    """
    result = []
    for index in np.flatnonzero(~sample.crowd & (sample.keypoints[..., 2] > 0).any(axis=1)):
        left, top, width, height = (float(value) for value in sample.boxes[index])
        wide, high = max(width, 1.0) * (1 + margin), max(height, 1.0) * (1 + margin)
        region = (left + width / 2 - wide / 2, top + height / 2 - high / 2, wide, high)
        result.append(replace(sample.only(int(index)), region=region))
    return result


def _single(samples: list[Sample]) -> tuple[list[Sample], str]:
    """Images with exactly one person who has a labelled keypoint, and a line on the others."""
    kept, several, empty, unlabelled = [], 0, 0, 0
    for sample in samples:
        people = np.flatnonzero(~sample.crowd)
        if len(people) > 1:
            several += 1
        elif len(people) == 0:
            empty += 1
        elif not (sample.keypoints[people[0], :, 2] > 0).any():
            unlabelled += 1
        else:
            kept.append(sample.only(people.tolist()) if sample.crowd.any() else sample)
    counts = {"with several people": several, "with none": empty, "whose person has no labelled keypoint": unlabelled}
    text = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    if not text:
        return kept, ""
    return kept, f"{len(samples) - len(kept)} of {len(samples)} images are left out (dataset.pose is single): {text}"
