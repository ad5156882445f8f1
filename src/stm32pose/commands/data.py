"""`stm32pose data check` and `data show`: look at labels before an hour of training is spent on them."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stm32pose.commands.tables import show_table
from stm32pose.config.data_sections import Dataset
from stm32pose.config.schema import Config
from stm32pose.errors import ConfigError, UserError, did_you_mean
from stm32pose.reporting.console import say, setup_logging

if TYPE_CHECKING:
    from stm32pose.data.problems import Problem
    from stm32pose.skeletons.skeleton import Skeleton

log = logging.getLogger(__name__)

SETS = ("training", "validation", "test")
# Faults written out, of each kind; --json has them all.
SHOWN = 5
PLURALS = {
    **{"person": "people", "child": "children", "man": "men", "woman": "women", "foot": "feet", "tooth": "teeth"},
    **{"mouse": "mice", "fish": "fish", "sheep": "sheep", "goose": "geese", "calf": "calves", "wolf": "wolves"},
}


def check_data(given: argparse.Namespace) -> int:
    """Report the faults of every set of a folder or configuration; returns 1 where one of them stops a run."""
    from stm32pose.data.checks import check_samples, summary
    from stm32pose.data.readers import scan_samples
    from stm32pose.skeletons.skeleton import resolve_skeleton

    setup_logging(None)
    found: dict[str, Any] = {}
    with words_of(given):
        dataset = source_config(given).dataset
        skeleton = resolve_skeleton(dataset)
        for name in named_sets(dataset):
            arguments = set_arguments(given, dataset, name, skeleton)
            samples, problems = scan_samples(**arguments)
            problems = check_samples(samples, skeleton, problems, decode=not given.fast)
            problems = [replace(item, message=_spoken(item.message, given)) for item in problems]
            found[name] = summary(samples, skeleton, problems) | {"list": problems, "path": str(arguments["images"])}
    if given.json:
        plain = {name: entry | {"list": [asdict(item) for item in entry["list"]]} for name, entry in found.items()}
        sys.stdout.write(json.dumps(plain, indent=1) + "\n")
    else:
        for name, entry in found.items():
            _report_set(name, entry["path"], entry, skeleton)
    return 1 if any(entry["errors"] for entry in found.values()) else 0


def show_data(given: argparse.Namespace) -> int:
    """Write mosaics of labelled images, and of the augmented ones where a configuration is given."""
    from stm32pose.data.readers import scan_samples
    from stm32pose.reporting.augmentations import augmentation_sheet
    from stm32pose.reporting.pictures import augmented_mosaic, labelled_mosaic
    from stm32pose.skeletons.skeleton import resolve_skeleton
    from stm32pose.transforms.chain import build_chain

    setup_logging(None)
    with words_of(given):
        config = source_config(given)
        skeleton = resolve_skeleton(config.dataset)
        shape = config.model.input_shape or (192, 192, 3)
        names = named_sets(config.dataset)
        if "training" in names:
            # A wrong augmentation is said before labels are read and drawn.
            rescaling = config.preprocessing.rescaling
            build_chain(config.data_augmentation, input_shape=shape, rescaling=rescaling, skeleton=skeleton)
        for name in names:
            arguments = set_arguments(given, config.dataset, name, skeleton)
            samples, problems = scan_samples(**arguments)
            if not samples:
                reason = f": {problems[0]}" if problems else ""
                raise ConfigError(f"{arguments['where']}: no usable image{reason}")
            say(f"{labelled_mosaic(samples, skeleton, given.out / f'{name}_labels.jpg')}: {len(samples)} images")
            if name == "training" and config.data_augmentation:
                path = augmented_mosaic(samples, skeleton, config, shape, given.out / f"{name}_augmented.jpg")
                say(f"{path}: as the network sees them")
                path = augmentation_sheet(samples, skeleton, config, shape, given.out / f"{name}_augmentations.jpg")
                say(f"{path}: each augmentation alone")
    return 0


def source_config(given: argparse.Namespace) -> Config:
    """The configuration that the command line names: a YAML file, or a folder with its flags.

    Raises:
        UserError: a folder comes without a skeleton and without images.
        ConfigError: the path is not there, or a folder's labels do not tell the skeleton and no flag does.
    """
    from stm32pose.config.load import load_config, load_file
    from stm32pose.config.paths import missing_images
    from stm32pose.data.readers import parts_of
    from stm32pose.data.splits import PARTS

    path: Path = given.source
    if not _is_folder(given):
        return load_file(path, check_paths=False)
    wrong = missing_images(path)
    if wrong:
        raise ConfigError(f"{path} {wrong}")
    _check_flags(given)
    parts = parts_of(path, format=given.format or "auto", annotations=given.annotations)
    images = path if parts else image_folder(path)
    skeleton = given.skeleton
    if skeleton is None and given.keypoints is None:
        skeleton = named_skeleton(images, given)
    paths = {f"{name}_path": str(images) for name in SETS if PARTS[name] in parts} or {"training_path": str(images)}
    dataset = {
        **paths,
        "training_annotations": str(given.annotations) if given.annotations else None,
        "skeleton": skeleton,
        "keypoints": given.keypoints,
        "format": given.format or "auto",
        "pose": "multi" if given.multi else "single",
    }
    return load_config(
        {
            "operation_mode": "training",
            "dataset": dataset,
            "model": {"model_name": "custom", "input_shape": [192, 192, 3]},
        }
    )


def _check_flags(given: argparse.Namespace) -> None:
    """ConfigError: --format or --annotations name what there is not; whatever else is missing follows from that."""
    from stm32pose.data.readers import FORMATS

    allowed = ["auto", *FORMATS]
    if given.format is not None and given.format not in allowed:
        near = did_you_mean(given.format, allowed)
        raise ConfigError(f"--format: got '{given.format}'; allowed: {', '.join(allowed)}{near}")
    if given.annotations is not None and not given.annotations.exists():
        raise ConfigError(f"--annotations: {given.annotations} does not exist")


def image_folder(folder: Path) -> Path:
    """The folder itself, or its `images` where only that holds images."""
    from stm32pose.data.files import list_images

    if folder.is_file():
        return folder
    inside = folder / "images"
    try:
        list_images(folder, where=str(folder))
    except UserError:
        if inside.is_dir():
            log.info("%s: no image in it, those of %s are taken", folder, inside)
            return inside
    return folder


def named_skeleton(images: Path, given: argparse.Namespace) -> str:
    """The shipped skeleton that the label format always has, or whose joints a COCO file of the images names.

    Raises:
        UserError: there is no image.
        ConfigError: there is no such file, or no skeleton has all of its joints and no other.
    """
    from stm32pose.data.files import list_images
    from stm32pose.data.readers import find_format
    from stm32pose.skeletons.joints import plain_name
    from stm32pose.skeletons.skeleton import load_skeleton, skeleton_names

    try:
        known = find_format(images, given.annotations, format=given.format or "auto", where=str(given.source))
    except UserError:
        known = None
    if known and known.skeleton:
        log.info("labels of the format %s: the skeleton %s is taken", known.name, known.skeleton)
        return known.skeleton
    named = _named_joints(images, given) if known and known.name == "coco" else []
    for names in named:
        for skeleton in map(load_skeleton, skeleton_names()):
            if {plain_name(name) for name in names} == {plain_name(name) for name in skeleton.keypoints}:
                log.info("the labels name the %d joints of the skeleton %s: it is taken", len(names), skeleton.name)
                return skeleton.name
    list_images(images, where=str(given.source))
    said = f" (the labels name {', '.join(named[0][:8])}{', ...' if len(named[0]) > 8 else ''})" if named else ""
    raise ConfigError(
        f"{given.source}: which keypoints?{said} Give --keypoints K, their number, or --skeleton NAME, one of "
        "`stm32pose skeletons` or your own YAML"
    )


def _named_joints(images: Path, given: argparse.Namespace) -> list[list[str]]:
    """Joints that each category of the COCO file names; none where there is no such file."""
    from stm32pose.data.coco import category_joints
    from stm32pose.data.coco_layout import coco_parts, find_place

    try:
        parts = coco_parts(images) or ("train",)
        return category_joints(find_place(images, given.annotations, parts[0], where=str(given.source))[1])
    except UserError:
        return []


def _is_folder(given: argparse.Namespace) -> bool:
    """Whether the source is a place of labelled images (a folder, Ultralytics' data.yaml), and no configuration."""
    from stm32pose.data.ultralytics import is_ultralytics

    path: Path = given.source
    return path.suffix.lower() not in (".yaml", ".yml") or path.is_dir() or is_ultralytics(path)


@contextmanager
def words_of(given: argparse.Namespace) -> Iterator[None]:
    """Errors speak of the flags of the command line where no configuration was given."""
    try:
        yield
    except UserError as error:
        raise type(error)(_spoken(str(error), given)) from error


def _spoken(text: str, given: argparse.Namespace) -> str:
    if not _is_folder(given):
        return text
    for key, flag in (
        (f"name it in {given.source}", "name it with --annotations"),
        ("dataset.keypoints", "--keypoints"),
        ("dataset.skeleton", "--skeleton"),
        ("dataset.format", "--format"),
        ("dataset.pose is single", "without --multi"),
    ):
        text = text.replace(key, flag)
    return text


def named_sets(dataset: Dataset) -> list[str]:
    names = [name for name in SETS if getattr(dataset, f"{name}_path")]
    if not names:
        raise ConfigError("dataset: names no training_path, validation_path or test_path")
    return names + [f"mix{number}" for number in range(len(dataset.mix))]


def set_arguments(given: argparse.Namespace, dataset: Dataset, name: str, skeleton: Skeleton) -> dict[str, Any]:
    """Arguments of `scan_samples` for a set of the source."""
    from stm32pose.data.splits import PARTS

    if name.startswith("mix"):
        number = int(name.removeprefix("mix"))
        entry, where = dataset.mix[number], f"dataset.mix[{number}].path"
        path, annotations = entry.path, entry.annotations
    else:
        entry, where = dataset, f"dataset.{name}_path"
        path, annotations = getattr(dataset, f"{name}_path"), getattr(dataset, f"{name}_annotations")
    return {
        "images": Path(path),
        "skeleton": skeleton,
        "format": entry.format,
        "annotations": Path(annotations) if annotations else None,
        "pose": dataset.pose,
        "instance": dataset.instance,
        "crop_margin": dataset.crop_margin,
        "keypoint_map": entry.keypoint_map,
        "filter": entry.filter,
        "where": str(given.source) if _is_folder(given) else where,
        "part": PARTS.get(name, "train"),
    }


def _report_set(name: str, path: str, entry: dict[str, Any], skeleton: Skeleton) -> None:
    figures = entry["statistics"]
    say(f"{name}: {path}", style="bold")
    say(f"{counted(figures['images'], 'image')}, {counted(figures['instances'], skeleton.category, 'labelled ')}")
    rows = [
        (joint, f"{share['labelled']:.0%}", f"{share['visible']:.0%}") for joint, share in figures["keypoints"].items()
    ]
    show_table(("keypoint", "labelled", "visible"), rows, right=("labelled", "visible"))
    if not entry["problems"]:
        say("no faults found")
        return
    show_table(("fault", "how many"), list(entry["problems"].items()), right=("how many",))
    for code, of_kind in groupby(sorted(entry["list"], key=_rank), key=lambda problem: problem.code):
        listed = list(of_kind)
        for problem in listed[:SHOWN]:
            say(f"{problem.severity}: {problem}")
        if len(listed) > SHOWN:
            say(f"{code}: {len(listed) - SHOWN} more: --json lists all")
    say(f"{entry['errors']} of them stop a run")


def counted(count: int, noun: str, before: str = "") -> str:
    """`1 mouse`, `24 labelled mice`: a count and what is counted, `before` between them."""
    return f"{count} {before}{noun if count == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """`hands`, `mice`, `bodies`; the category of a skeleton may be any word."""
    if noun in PLURALS:
        return PLURALS[noun]
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "z", "ch", "sh")) else f"{noun}s"


def _rank(problem: Problem) -> tuple[bool, str]:
    return problem.severity != "error", problem.code
