"""Where in a YAML file a key stands, for error messages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from stm32pose.errors import ConfigError

KeyPath = tuple[Any, ...]

# Aliases let a small file stand for a huge tree; no configuration comes near this.
MOST_NODES = 20_000


def key_lines(file: Path) -> dict[KeyPath, int]:
    """Line, counted from 1, of every key of a YAML file; empty where the file cannot be read."""
    try:
        with file.open(encoding="utf-8") as stream:
            # compose() builds nodes and no objects, so tags have no effect.
            root = yaml.compose(stream, Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError):
        return {}
    return {} if _size(root, {}) > MOST_NODES else dict(_lines(root, ()))


def line_of(lines: dict[KeyPath, int], path: KeyPath) -> int | None:
    """Line of a key, or of the nearest section around it that is written."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def check_yaml(file: Path) -> None:
    """Raise ConfigError, `FILE:LINE: what`, for a file that is no YAML mapping, has a key twice or a Python tag."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not UTF-8 text ({error.reason} at byte {error.start})") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(_yaml_message(file, error)) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{file}: is not YAML ({str(error).splitlines()[0] if str(error) else error})") from error
    if root is None:
        raise ConfigError(f"{file}: is empty")
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{file}: holds no `key: value` lines")
    if _size(root, {}) > MOST_NODES:
        raise ConfigError(f"{file}: stands for more than {MOST_NODES} values, or contains itself")
    twice = [f"{file}:{line}: {key}: written twice; keep one" for key, line in _duplicates(root, "")]
    if twice:
        raise ConfigError("\n".join(twice))


def _size(node: yaml.Node | None, sizes: dict[int, int]) -> int:
    """Number of nodes with every alias written out; more than any limit where a node contains itself."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) in sizes:
        return sizes[id(node)]
    sizes[id(node)] = MOST_NODES + 1
    children = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
    sizes[id(node)] = 1 + sum(_size(child, sizes) for child in children)
    return sizes[id(node)]


def _lines(node: yaml.Node | None, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, key.value)
            yield below, key.start_mark.line + 1
            yield from _lines(value, below)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, index), value.start_mark.line + 1


def _duplicates(node: yaml.Node, where: str) -> Iterator[tuple[str, int]]:
    if not isinstance(node, yaml.MappingNode):
        return
    seen = set()
    for key, value in node.value:
        name = f"{where}.{key.value}" if where else str(key.value)
        if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
            yield name, key.start_mark.line + 1
        seen.add(key.value if isinstance(key.value, str) else id(key))
        yield from _duplicates(value, name)


def _yaml_message(file: Path, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"{file}:{mark.line + 1}" if mark else str(file)
    problem = (error.problem or "is not YAML").replace("\n", " ")
    if "constructor for the tag" in problem:
        problem = f"{problem}; a configuration holds plain values only"
    context = f" ({error.context})" if error.context else ""
    return f"{where}: {problem}{context}"
