"""`${NAME}` environment variables, as ST's files have them, and OmegaConf's own `${section.key}` interpolations."""

from __future__ import annotations

import re
from typing import Any

# ${NAME} is an environment variable in ST's files but a top-level key in OmegaConf's.
_BARE = re.compile(r"(?<!\\)\$\{\s*([A-Za-z_]\w*)\s*\}")


def resolve(mapping: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[tuple[Any, ...], str]]]:
    """Replace every `${...}` of a nested mapping by its value.

    `${NAME}` is the top-level key NAME where there is one, else the environment variable.

    Returns:
        the mapping without interpolations, and what could not be resolved as (path of the key, message).
    """
    if not _has_interpolation(mapping):
        return mapping, []
    from omegaconf import DictConfig, ListConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    environment = _with_environment(mapping, set(mapping))
    problems: list[tuple[tuple[Any, ...], str]] = []

    def plain(node: Any, path: tuple[Any, ...]) -> Any:
        keys = range(len(node)) if isinstance(node, ListConfig) else list(node.keys())
        pairs = []
        for key in keys:
            try:
                value = node[key]
            except OmegaConfBaseException as error:
                problems.append(((*path, key), _message(error)))
                continue
            if isinstance(value, DictConfig | ListConfig):
                value = plain(value, (*path, key))
            pairs.append((key, value))
        return [value for _, value in pairs] if isinstance(node, ListConfig) else dict(pairs)

    try:
        config = OmegaConf.create(environment)
    except OmegaConfBaseException as error:
        return {}, [((), _message(error))]
    return plain(config, ()), problems


def _has_interpolation(value: Any) -> bool:
    if isinstance(value, str):
        return "${" in value
    if isinstance(value, dict):
        return any(_has_interpolation(item) for item in value.values())
    return isinstance(value, list | tuple) and any(_has_interpolation(item) for item in value)


def _with_environment(value: Any, names: set[str]) -> Any:
    if isinstance(value, str):
        return _BARE.sub(lambda found: found[0] if found[1] in names else f"${{oc.env:{found[1]}}}", value)
    if isinstance(value, dict):
        return {key: _with_environment(item, names) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_environment(item, names) for item in value]
    return value


def _message(error: Exception) -> str:
    """OmegaConf's first line; a missing variable named plainly."""
    text = str(error).strip().split("\n")[0]
    variable = re.search(r"Environment variable '([^']*)' not found", text)
    if variable:
        return f"got ${{{variable[1]}}}, but the environment variable {variable[1]} is not set"
    return text
