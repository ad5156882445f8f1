"""From YAML to `Config`: both of ST's layouts, every problem in one message."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from stm32pose.config import rules
from stm32pose.config.compose import compose_file, read_mapping
from stm32pose.config.interpolation import resolve
from stm32pose.config.layouts import Layout, dotted, normalise
from stm32pose.config.messages import Places, validation_lines
from stm32pose.config.paths import path_problems
from stm32pose.config.schema import Config, mode_steps
from stm32pose.config.spellings import convert_section, is_null
from stm32pose.errors import ConfigError

log = logging.getLogger(__name__)

# Sections whose every key has a default: written by nobody, they are still there for the step that reads them.
DEFAULTED = {"train": "training", "quantize": "quantization"}


def load_config(
    mapping: dict[str, Any], *, where: str = "", check_paths: bool = True, overrides: Iterable[str] = ()
) -> Config:
    """Validate a configuration in the layout of any release.

    Args:
        mapping: nested plain values as the YAML has them; `${...}` are resolved here.
        where: the YAML file, for the places in messages; may be empty.
        check_paths: whether the files and folders that the steps read must exist.
        overrides: the `key=value` of the command line, so that messages do not send anybody to the file for them.

    Raises:
        ConfigError: every problem found, one a line: place, what was got, what is allowed.
    """
    mapping, unresolved = resolve({key: value for key, value in mapping.items() if key not in ("hydra", "defaults")})
    if not isinstance(mapping, dict):
        raise ConfigError(f"{where}: holds no `key: value` lines")
    layout = normalise(mapping, lambda path: read_mapping(Path(path)))
    places = Places(where, layout.moved, overrides)
    lines = [places.line(path, message) for path, message in unresolved]
    lines += [places.line(path, message) for path, message in layout.problems]
    config, found = _validate(layout, places)
    lines += [line for line in found if line not in lines]
    if config is not None:
        # A key that is wrong already is not also missing.
        silenced = {places.written(path) for path, _ in unresolved} | {path for path, _ in layout.problems}
        problems = rules.problems(config) if layout.complete else []
        if check_paths and not layout.complete:
            problems.append((("general", "config_path"), "does not exist; its values are needed"))
        if check_paths:
            problems += path_problems(config)
        for path, message in problems:
            line = places.line(places.written(path), message)
            key = re.escape(dotted(places.written(path)))
            spoken_of = any(re.search(rf"(^| ){key}([.\[]\S*)?: ", said) for said in lines)
            if line not in lines and not spoken_of and places.written(path) not in silenced:
                lines.append(line)
    if lines or config is None:
        raise ConfigError("\n".join(lines) or places.line((), "cannot be read"))
    for note in layout.notes:
        log.warning("%s", note)
    return config


def load_file(path: str | Path, overrides: Iterable[str] = (), *, check_paths: bool = True) -> Config:
    """Compose a YAML file with Hydra (defaults list, `key=value` overrides) and validate it.

    Raises:
        ConfigError: no such file, no YAML, an override that does not fit, or any problem of `load_config`.
    """
    overrides = list(overrides)
    mapping = compose_file(Path(path), overrides)
    return load_config(mapping, where=str(path), check_paths=check_paths, overrides=overrides)


def _validate(layout: Layout, places: Places) -> tuple[Config | None, list[str]]:
    """(Config, or None where the mode itself is wrong; a line for every wrong value).

    Where values are wrong, the Config returned is that of the rest, so that what is missing is said at once too.
    """
    if is_null(layout.mapping.get("operation_mode")):
        layout.mapping.pop("operation_mode", None)
    mapping = convert_section(_with_defaults(layout.mapping), Config)
    try:
        return Config.model_validate(mapping), []
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
    errors = [item for item in errors if not _unused_and_incomplete(item, mapping)]
    lines = validation_lines(errors, mapping, places)
    for _ in range(3):
        for item in errors:
            _prune(mapping, tuple(item["loc"]), item["type"])
        for section in _unused(mapping):
            mapping.pop(section, None)
        try:
            return Config.model_validate(mapping), lines
        except ValidationError as error:
            errors = error.errors(include_url=False, include_context=False)
    return None, lines


def _with_defaults(mapping: dict[str, Any]) -> dict[str, Any]:
    steps = _steps(mapping)
    missing = {section: {} for step, section in DEFAULTED.items() if step in steps and is_null(mapping.get(section))}
    return {**mapping, **missing}


def _steps(mapping: dict[str, Any]) -> tuple[str, ...]:
    try:
        return mode_steps(str(mapping.get("operation_mode")))
    except ValueError:
        return ()


def _unused(mapping: dict[str, Any]) -> list[str]:
    steps = _steps(mapping)
    return [section for step, section in rules.SECTION_OF_STEP.items() if steps and step not in steps]


def _unused_and_incomplete(error: ErrorDetails, mapping: dict[str, Any]) -> bool:
    """Whether something is only missing, or left empty, in a section that no step of the mode reads."""
    empty = error["type"] == "missing" or error["input"] is None
    return empty and bool(error["loc"]) and error["loc"][0] in _unused(mapping)


def _prune(mapping: dict[str, Any], path: tuple[Any, ...], kind: str) -> None:
    """Take out what an error speaks of: the key, or the section that lacks a required one."""
    if kind == "missing":
        path = path[:-1] or path
    *parents, last = path
    node: Any = mapping
    for key in parents:
        if not isinstance(node, dict) or key not in node:
            return
        if isinstance(node[key], list | tuple):
            del node[key]
            return
        node = node[key]
    if isinstance(node, dict):
        node.pop(last, None)
