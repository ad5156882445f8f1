"""`stm32pose data check` and `data show`: look at labels before an hour of training is spent on them."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stm32pose.commands.tables import show_table
from stm32pose.config.data_sections import Dataset
from stm32pose.config.schema import Config
from stm32pose.errors import ConfigError
from stm32pose.reporting.console import say, setup_logging

if TYPE_CHECKING:
    from stm32pose.data.problems import Problem
    from stm32pose.skeletons.skeleton import Skeleton

SETS = ("training", "validation", "test")
# Faults written out, of each kind; --json has them all.
SHOWN = 5


def check_data(given: argparse.Namespace) -> int:
    """Report the faults of every set of a folder or configuration; returns 1 where one of them stops a run."""
    from stm32pose.data.checks import check_samples, summary
    from stm32pose.data.readers import scan_samples
    from stm32pose.skeletons.skeleton import resolve_skeleton

    setup_logging(None)
    dataset = source_config(given).dataset
    skeleton = resolve_skeleton(dataset)
    found: dict[str, Any] = {}
    for name in _named_sets(dataset):
        samples, problems = scan_samples(**_set_arguments(dataset, name, skeleton))
        problems = check_samples(samples, skeleton, problems, decode=not given.fast)
        found[name] = summary(samples, skeleton, problems) | {"list": problems}
    if given.json:
        plain = {name: entry | {"list": [asdict(item) for item in entry["list"]]} for name, entry in found.items()}
        sys.stdout.write(json.dumps(plain, indent=1) + "\n")
    else:
        for name, entry in found.items():
            _report_set(name, getattr(dataset, f"{name}_path"), entry, skeleton)
    return 1 if any(entry["errors"] for entry in found.values()) else 0


def show_data(given: argparse.Namespace) -> int:
    """Write mosaics of labelled images, and of the augmented ones where a configuration is given."""
    from stm32pose.data.readers import scan_samples
    from stm32pose.reporting.pictures import augmented_mosaic, labelled_mosaic
    from stm32pose.skeletons.skeleton import resolve_skeleton

    setup_logging(None)
    config = source_config(given)
    skeleton = resolve_skeleton(config.dataset)
    shape = config.model.input_shape or (192, 192, 3)
    for name in _named_sets(config.dataset):
        samples, problems = scan_samples(**_set_arguments(config.dataset, name, skeleton))
        if not samples:
            reason = f": {problems[0]}" if problems else ""
            raise ConfigError(f"dataset.{name}_path: no usable image{reason}")
        say(f"{labelled_mosaic(samples, skeleton, given.out / f'{name}_labels.jpg')}: {len(samples)} images")
        if name == "training" and config.data_augmentation:
            path = augmented_mosaic(samples, skeleton, config, shape, given.out / f"{name}_augmented.jpg")
            say(f"{path}: as the network sees them")
    return 0


def source_config(given: argparse.Namespace) -> Config:
    """The configuration that the command line names: a YAML file, or a folder with its flags.

    Raises:
        ConfigError: the path is not there, or a folder comes without a skeleton.
    """
    from stm32pose.config.load import load_file
    from stm32pose.config.paths import missing_folder

    path: Path = given.source
    if path.suffix.lower() in (".yaml", ".yml") and not path.is_dir():
        return load_file(path, check_paths=False)
    wrong = missing_folder(path)
    if wrong:
        raise ConfigError(f"{path} {wrong}")
    if given.skeleton is None and given.keypoints is None:
        raise ConfigError(f"{path}: which keypoints? give --keypoints K or --skeleton NAME (`stm32pose skeletons`)")
    dataset = {
        "training_path": str(path),
        "training_annotations": str(given.annotations) if given.annotations else None,
        "skeleton": given.skeleton,
        "keypoints": given.keypoints,
        "format": given.format or "auto",
        "pose": "multi" if given.multi else "single",
    }
    from stm32pose.config.load import load_config

    return load_config(
        {
            "operation_mode": "training",
            "dataset": dataset,
            "model": {"model_name": "custom", "input_shape": [192, 192, 3]},
        }
    )


def _named_sets(dataset: Dataset) -> list[str]:
    names = [name for name in SETS if getattr(dataset, f"{name}_path")]
    if not names:
        raise ConfigError("dataset: names no training_path, validation_path or test_path")
    return names


def _set_arguments(dataset: Dataset, name: str, skeleton: Skeleton) -> dict[str, Any]:
    annotations = getattr(dataset, f"{name}_annotations")
    return {
        "images": Path(getattr(dataset, f"{name}_path")),
        "skeleton": skeleton,
        "format": dataset.format,
        "annotations": Path(annotations) if annotations else None,
        "pose": dataset.pose,
        "instance": dataset.instance,
        "crop_margin": dataset.crop_margin,
        "where": f"dataset.{name}_path",
    }


def _report_set(name: str, path: str, entry: dict[str, Any], skeleton: Skeleton) -> None:
    figures = entry["statistics"]
    say(f"{name}: {path}", style="bold")
    say(f"{figures['images']} images, {figures['instances']} labelled {skeleton.category}s")
    rows = [
        (joint, f"{share['labelled']:.0%}", f"{share['visible']:.0%}") for joint, share in figures["keypoints"].items()
    ]
    show_table(("keypoint", "labelled", "visible"), rows, right=("labelled", "visible"))
    if not entry["problems"]:
        say("no faults found")
        return
    show_table(("fault", "how many"), list(entry["problems"].items()), right=("how many",))
    shown: dict[str, int] = {}
    for problem in sorted(entry["list"], key=_rank):
        shown[problem.code] = shown.get(problem.code, 0) + 1
        if shown[problem.code] <= SHOWN:
            say(f"{problem.severity}: {problem}")
    say(f"{entry['errors']} of them stop a run")


def _rank(problem: Problem) -> tuple[bool, str]:
    return problem.severity != "error", problem.code
