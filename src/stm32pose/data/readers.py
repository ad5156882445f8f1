"""Labelled images to `Sample`s, whatever the label format; faults counted and named before anything is trained."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from stm32pose.data import (
    coco,
    cvat,
    deeplabcut,
    freihand,
    label_studio,
    mpii,
    ultralytics,
    yolo,
    youtube_faces,
)
from stm32pose.data.coco_layout import find_annotations
from stm32pose.data.files import image_ids, list_images
from stm32pose.data.filter import apply_filter, parse_filter
from stm32pose.data.formats import Format, Part, peek
from stm32pose.data.images import image_size
from stm32pose.data.problems import Problem, count_by_code, errors_of, first_few
from stm32pose.data.sample import Sample
from stm32pose.data.yolo import label_folder
from stm32pose.errors import ConfigError, UserError, did_you_mean
from stm32pose.skeletons.joints import mapped_skeleton
from stm32pose.skeletons.skeleton import Skeleton

log = logging.getLogger(__name__)

FORMATS: dict[str, Format] = {
    format.name: format
    for format in (
        ultralytics.FORMAT,
        mpii.FORMAT,
        freihand.FORMAT,
        freihand.ONEHAND10K,
        yolo.FORMAT,
        youtube_faces.FORMAT,
        deeplabcut.FORMAT,
        cvat.FORMAT,
        label_studio.FORMAT,
        coco.FORMAT,
    )
}
"""Label formats by name, in the order in which `auto` asks them: what is told by a file of its own comes first."""


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
    part: Part = "train",
    keypoint_map: Mapping[str, str | int | None] | None = None,
    filter: str | None = None,
) -> list[Sample]:
    """The labelled images of a folder, in the order of their names; no pixel is read.

    Args:
        images: folder of images, or what the format calls its place (`Format.place`).
        skeleton: which keypoints are wanted, in which order.
        format: a name of `FORMATS`, or "auto".
        annotations: what the format means by it (`Format.annotations`); None: looked for.
        pose: "single" keeps images with exactly one person (crowds not counted) who has a labelled keypoint; "multi"
            keeps all, those without people too.
        instance: "crop" makes a sample of every person who has a labelled keypoint, whatever `pose` says.
        crop_margin: how much larger than the box a crop is, as a share of the box.
        where: the key of the configuration, for messages.
        part: which set, where the place holds several (`Format.parts`).
        keypoint_map: keypoint of the skeleton -> the labels' name of it, its index there, or None: never taken.
        filter: which people are used (`stm32pose.data.filter`); None: all.

    Raises:
        UserError: a label is faulty (the first few are named), or nothing is left to use.
        ConfigError: no such format; the map or the filter is wrong.
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
        part=part,
        keypoint_map=keypoint_map,
        filter=filter,
    )
    return usable(samples, problems, images, where=where)


def usable(samples: list[Sample], problems: Sequence[Problem], images: Path, *, where: str) -> list[Sample]:
    """`samples` of `scan_samples`, its warnings told in the log. UserError: there are faults, or there is no sample."""
    errors = errors_of(problems)
    if errors:
        count = f"{len(errors)} faults" if len(errors) > 1 else "a fault"
        more = "; `stm32pose data check` lists them all" if len(errors) > 3 else ""
        raise UserError(f"{where}: {count} in the labels of {images}: {first_few(errors)}{more}")
    for code, count in count_by_code(problems).items():
        first = next(problem for problem in problems if problem.code == code)
        level = logging.INFO if code in ("left_out", "filtered") else logging.WARNING
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
    part: Part = "train",
    keypoint_map: Mapping[str, str | int | None] | None = None,
    filter: str | None = None,
) -> tuple[list[Sample], list[Problem]]:
    """As `read_samples`, but faults are returned, and what is faulty is left out.

    What a filter takes out is told by a `Filtered` among the faults.

    Raises:
        UserError: no folder, no image in it, no annotation file; the filter leaves nobody.
        ConfigError: no such format; the map or the filter is wrong.
    """
    images = Path(images)
    skeleton = mapped_skeleton(skeleton, keypoint_map, where=_beside(where, "keypoint_map"))
    condition = parse_filter(filter, skeleton, where=_beside(where, "filter")) if filter else None
    chosen = find_format(images, annotations, format=format, where=where)
    arguments = {"part": part} if chosen.parts else {}
    everything, problems = chosen.reader(images, skeleton, annotations=annotations, where=where, **arguments)
    if condition is not None:
        everything, filtered = apply_filter(everything, condition, skeleton)
        problems.append(filtered)
        if filtered.removed and filtered.removed == filtered.people:
            raise UserError(
                f"{_beside(where, 'filter')}: '{condition.text}' leaves nobody in {images}: {filtered.message}"
            )
    if instance == "crop":
        result = [crop for sample in everything for crop in crops(sample, crop_margin)]
        flat = sum(len(_to_crop(sample)) for sample in everything) - len(result)
        if flat:
            message = f"{flat} people are left out (dataset.instance is crop): their box has no extent"
            problems.append(Problem("left_out", "warning", str(images), message))
        return result, problems
    if pose == "multi":
        return everything, problems
    samples, left_out = _single(everything)
    if left_out:
        problems.append(Problem("left_out", "warning", str(images), left_out))
    return samples, problems


def read_images(
    images: Path,
    *,
    annotations: Path | None = None,
    where: str,
    keypoints: int = 0,
    format: str = "auto",
    part: Part = "train",
) -> list[Sample]:
    """The images of a place without their labels, for calibration; with `annotations` (JSON), those that it lists.

    Raises:
        UserError: no folder, no image, or an unreadable one.
        ConfigError: no such format.
    """
    paths = _list_images(Path(images), annotations, format, part, where)
    if annotations is not None and annotations.is_file() and peek(annotations).lstrip()[:1] == "{":
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


def _list_images(images: Path, annotations: Path | None, format: str, part: Part, where: str) -> list[Path]:
    if format == "auto":
        # Images to calibrate on need no labels, so that a folder of no format at all is all right.
        chosen = next((item for item in FORMATS.values() if item.detect and item.detect(images, annotations)), None)
    else:
        chosen = find_format(images, annotations, format=format, where=where)
    return chosen.images(images, part, where=where) if chosen and chosen.images else list_images(images, where=where)


def find_format(
    images: Path, annotations: Path | None = None, *, format: str = "auto", where: str = "dataset.training_path"
) -> Format:
    """The format of that name, or the one that `auto` sees.

    Raises:
        ConfigError: no format of that name.
        UserError: `auto` sees none; the message says where was looked.
    """
    name = detect_format(images, annotations, where=where) if format == "auto" else format
    if name not in FORMATS:
        allowed = ["auto", *FORMATS]
        raise ConfigError(f"dataset.format: got '{name}'; allowed: {', '.join(allowed)}{did_you_mean(name, allowed)}")
    return FORMATS[name]


def detect_format(images: Path, annotations: Path | None = None, *, where: str = "dataset.training_path") -> str:
    """The name of the first format that knows the place for its own.

    Annotations that nobody knows are taken for COCO's (a file) or YOLO's (a folder), whose readers say what is wrong.

    Raises:
        UserError: none does; the message says where was looked.
    """
    for name, format in FORMATS.items():
        if format.detect and format.detect(images, annotations):
            return name
    if annotations is not None:
        return "yolo" if annotations.is_dir() else "coco"
    list_images(images, where=where)
    try:
        find_annotations(images, where=where)
    except UserError as error:
        raise UserError(f"{error}; and no label file NAME.txt in {label_folder(images)}") from None
    return "coco"


def parts_of(images: Path, *, format: str = "auto", annotations: Path | None = None) -> tuple[Part, ...]:
    """The sets that one place holds ("train", "val", "test"); () where it is one set, or nothing is known of it."""
    try:
        chosen = find_format(images, annotations, format=format)
    except UserError:
        return ()
    return chosen.parts(images) if chosen.parts and annotations is None else ()


def crops(sample: Sample, margin: float) -> list[Sample]:
    """One sample a person who has a labelled keypoint and is no crowd; its region is the box grown by `margin`.

    The region may reach beyond the image. Keypoints stay in the frame of the whole image. Who has a box without extent
    is left out: nothing says how much to cut out.
    """
    result = []
    for index in _to_crop(sample):
        if sample.boxes[index, 2:].min() <= 0:
            continue
        left, top, width, height = (float(value) for value in sample.boxes[index])
        wide, high = max(width, 1.0) * (1 + margin), max(height, 1.0) * (1 + margin)
        region = (left + width / 2 - wide / 2, top + height / 2 - high / 2, wide, high)
        result.append(replace(sample.only(int(index)), region=region))
    return result


def _to_crop(sample: Sample) -> np.ndarray:
    """Indices of those who have a labelled keypoint and are no crowd."""
    return np.flatnonzero(~sample.crowd & (sample.keypoints[..., 2] > 0).any(axis=1))


def _beside(where: str, key: str) -> str:
    """`dataset.filter` for `dataset.training_path`: the key of the same section."""
    section = where.rpartition(".")[0] if where.startswith("dataset.") else "dataset"
    return f"{section}.{key}"


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
