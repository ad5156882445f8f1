"""Problems of a configuration as lines: where, what was got, what is allowed, the nearest spelling."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic_core import ErrorDetails

from stm32pose.config.describe import describe, describe_field, field_at, section_at
from stm32pose.config.layouts import dotted
from stm32pose.config.marks import key_lines, line_of
from stm32pose.config.schema import Config
from stm32pose.errors import did_you_mean

KeyPath = tuple[Any, ...]

# Longest part of a value that a message repeats.
SHOWN = 80


@dataclass
class Places:
    """Says of a key of Config where the user wrote it.

    Attributes:
        file: the YAML file, or an empty text.
        moved: place in Config -> place in the file, for keys of an older layout.
        overrides: the `key=value` of the command line.
    """

    file: str = ""
    moved: Mapping[KeyPath, KeyPath] = field(default_factory=dict)
    overrides: Iterable[str] = ()

    def __post_init__(self) -> None:
        self._overridden = {text.split("=")[0].lstrip("+~") for text in self.overrides}
        self._lines = key_lines(Path(self.file)) if self.file and Path(self.file).is_file() else {}

    def written(self, path: KeyPath) -> KeyPath:
        """The key as the user wrote it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.moved:
                return (*self.moved[path[:length]], *path[length:])
        return path

    def line(self, path: KeyPath, message: str) -> str:
        """`FILE:LINE: key: message` for a key in the user's file."""
        number = line_of(self._lines, path)
        prefix = f"{self.file}:{number}: " if number else f"{self.file}: " if self.file else ""
        if any(dotted(path[:length]) in self._overridden for length in range(1, len(path) + 1)):
            prefix = "command line: "
        text = " ".join(str(message).split())
        return f"{prefix}{dotted(path)}: {text}" if path else f"{prefix}{text}"


def shown(value: Any) -> str:
    """A value as a message repeats it: short, null and true as YAML writes them."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = " ".join(repr(value).split())
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def validation_lines(errors: list[ErrorDetails], mapping: Mapping[str, Any], places: Places) -> list[str]:
    """One line for every error that pydantic found in `mapping`, in the layout of Config."""
    lines = []
    for error in errors:
        path = tuple(error["loc"])
        kind = error["type"]
        if kind == "missing" and path and isinstance(path[-1], int):
            # Too few values of a tuple: speak of the tuple.
            path, kind = path[:-1], "too_short"
        if kind == "extra_forbidden":
            message = unknown_key(path)
        elif kind == "missing":
            found = field_at(Config, path)
            message = f"missing; expected {describe(*found)}" if found else "missing"
        else:
            message = _wrong_value(error, kind, path, mapping)
        line = places.line(places.written(path), message)
        if line not in lines:
            lines.append(line)
    return lines


def unknown_key(path: KeyPath) -> str:
    """What is said of a key that the schema does not know: the nearest one, or where it belongs, or all of them."""
    section = section_at(Config, path[:-1])
    if section is None:
        return "unknown key"
    known = list(section.model_fields)
    letters = {name.replace("_", "").lower(): name for name in known}
    if (spelt := letters.get(str(path[-1]).replace("_", "").lower())) is not None:
        return f"unknown key; did you mean '{spelt}'?"
    homes = list(_homes(path[-1], ()))
    near = f"; it belongs to {' or '.join(homes)}" if homes else did_you_mean(path[-1], known)
    return f"unknown key{near or '; known here: ' + ', '.join(known)}"


def _homes(key: Any, path: tuple[str, ...]) -> Iterator[str]:
    """Every place below `path` whose section knows `key`."""
    section = section_at(Config, path) if path else Config
    for name in section.model_fields if section else ():
        inner = (*path, name)
        other = section_at(Config, inner)
        if other is not None:
            if key in other.model_fields:
                yield ".".join((*inner, str(key)))
            yield from _homes(key, inner)


def _wrong_value(error: ErrorDetails, kind: str, path: KeyPath, mapping: Mapping[str, Any]) -> str:
    got = shown(_value_at(mapping, path, error["input"]))
    if kind in ("value_error", "assertion_error"):
        return f"got {got}; {error['msg'].removeprefix('Value error, ').removeprefix('Assertion failed, ')}"
    if path and path[0] in Config.model_fields and len(path) == 1:
        section = section_at(Config, path)
        allowed = describe(section) if section else describe_field(Config.model_fields[path[0]])
        return f"got {got}; expected {allowed}"
    found = field_at(Config, path)
    if found is None:
        return f"got {got}; {error['msg']}"
    message = f"got {got}; expected {describe(*found)}"
    if kind == "literal_error":
        message += did_you_mean(_value_at(mapping, path, ""), _literals(found[0]))
    return message


def _literals(expected: Any) -> list[str]:
    from typing import Literal, get_args, get_origin

    if get_origin(expected) is Literal:
        return [str(item) for item in get_args(expected)]
    return [name for arg in get_args(expected) for name in _literals(arg)]


def _value_at(mapping: Any, path: KeyPath, otherwise: Any) -> Any:
    node = mapping
    for key in path:
        try:
            node = node[key]
        except (KeyError, IndexError, TypeError):
            return otherwise
    return node
