"""Files and folders that the steps of a configuration read: are they there?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stm32pose.config.schema import Config
from stm32pose.config.suffixes import suffix_of
from stm32pose.errors import did_you_mean

# Names listed of a folder where the file was looked for.
LISTED = 8

LABEL_FILES = (".yaml", ".yml", ".json", ".csv", ".xml", ".mat", ".txt")
"""Suffixes of label files that can stand for a data set by themselves (Ultralytics' data.yaml)."""


def path_problems(config: Config) -> list[tuple[tuple[Any, ...], str]]:
    """(place in Config, message) of every file or folder that a step reads and that is not there."""
    problems = []
    for place, path, kind in needed_paths(config):
        message = MISSING[kind](Path(path))
        if message:
            problems.append((place, f"{path} {message}"))
    saved = config.training.trained_model_path if config.training and "train" in config.steps else None
    if saved and suffix_of(saved):
        message = not_writable(Path(saved))
        if message:
            problems.append((("training", "trained_model_path"), f"{saved} {message}"))
    return problems


def not_writable(path: Path) -> str:
    """Why the file `path` cannot be written, its folders made; empty where nothing speaks against it."""
    if path.is_dir():
        return "is a folder; the name of a file is needed"
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        return f"cannot be written ({above} is a file)"
    return "" if os.access(above, os.W_OK | os.X_OK) else f"cannot be written ({above} is not yours to write in)"


def needed_paths(config: Config) -> Iterator[tuple[tuple[Any, ...], str, str]]:
    """(place in Config, path, a kind of `MISSING`) of what the steps read, by the sets' fallback rules."""
    steps, data, model = set(config.steps), config.dataset, config.model
    resumed = config.training.resume_training_from if config.training and "train" in steps else None
    builds = model.model_name or model.backbone
    if resumed:
        yield ("training", "resume_training_from"), resumed, "folder"
    elif model.model_path and "://" not in model.model_path and ("train" not in steps or not builds):
        yield ("model", "model_path"), model.model_path, "file"
    if "train" in steps and not resumed and builds:
        if model.model_name and ".py" in model.model_name:
            yield ("model", "model_name"), builder_file(model.model_name), "file"
        if model.pretrained and model.pretrained != "imagenet":
            yield ("model", "pretrained"), model.pretrained, "file"
    if "train" in steps and config.training and config.training.distillation:
        yield ("training", "distillation", "teacher"), config.training.distillation.teacher, "file"
    if data.skeleton and suffix_of(data.skeleton) in (".yaml", ".yml"):
        yield ("dataset", "skeleton"), data.skeleton, "file"
    if "evaluate" in steps:
        for index, path in enumerate(config.evaluation.models):
            if "://" in path:
                continue
            yield ("evaluation", "models", index), path, "file"
    for name in sorted(_sets(config)):
        folder, annotations = getattr(data, f"{name}_path"), getattr(data, f"{name}_annotations", None)
        if folder:
            yield ("dataset", f"{name}_path"), folder, "images"
            if annotations:
                yield ("dataset", f"{name}_annotations"), annotations, "any"
    if "train" in steps:
        for number, entry in enumerate(data.mix):
            yield ("dataset", "mix", number, "path"), entry.path, "images"
            if entry.annotations:
                yield ("dataset", "mix", number, "annotations"), entry.annotations, "any"
    if "predict" in steps:
        for path in data.prediction_path or ():
            # Cameras and patterns are looked at when they are opened.
            if not path.lower().startswith("camera:") and not set("*?[") & set(path):
                yield ("dataset", "prediction_path"), path, "any"
    if "deploy" in steps and config.deployment and config.deployment.c_project_path and not config.deployment.dry_run:
        yield ("deployment", "c_project_path"), config.deployment.c_project_path, "folder"


def builder_file(name: str) -> str:
    """`FILE.py` of `FILE.py:FUNCTION`."""
    return name[: name.rindex(".py") + len(".py")]


def missing_file(path: Path) -> str:
    """What is wrong with the path of a file, with the nearest names that exist; empty where nothing is."""
    if path.is_dir():
        return "is a folder; a file is needed"
    return "" if path.exists() else _not_there(path)


def missing_folder(path: Path) -> str:
    """What is wrong with the path of a folder, with the nearest names that exist; empty where nothing is."""
    if path.is_dir():
        return ""
    return "is a file; a folder is needed" if path.exists() else _not_there(path)


def missing_images(path: Path) -> str:
    """What is wrong with a place of images: a folder, or a file of `LABEL_FILES` that says where they lie."""
    return "" if path.is_file() and path.suffix.lower() in LABEL_FILES else missing_folder(path)


def missing_either(path: Path) -> str:
    """What is wrong with the path of a file or folder; empty where nothing is."""
    return "" if path.exists() else _not_there(path)


MISSING = {"file": missing_file, "folder": missing_folder, "images": missing_images, "any": missing_either}


def _sets(config: Config) -> set[str]:
    """Sets of images that are read: train with validation, the first there is for the other steps."""
    data, steps = config.dataset, config.steps
    sets: set[str] = set()
    if "train" in steps:
        sets |= {"training", "validation"}
    if "evaluate" in steps:
        sets |= _first(data, "test", "validation", "training")
    if "quantize" in steps:
        sets |= _first(data, "quantization", "training")
    return sets


def _first(data: Any, *names: str) -> set[str]:
    return set([name for name in names if getattr(data, f"{name}_path")][:1])


def _not_there(path: Path) -> str:
    """`does not exist; datasets has test, train; did you mean 'train'?`"""
    parts = [*reversed(path.parents), path]
    missing = next((part for part in parts if not part.exists()), path)
    above = missing.parent
    try:
        names = sorted(item.name for item in above.iterdir() if not item.name.startswith("."))
    except OSError:
        return "does not exist"
    shown = ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
    where = above.resolve() if str(above) == "." else above
    near = did_you_mean(missing.name, names)
    if near:
        return f"does not exist{near}" if missing == path else f"does not exist ({missing} is not there{near})"
    return f"does not exist; {where} holds {shown}" if names else f"does not exist; {where} is empty"
