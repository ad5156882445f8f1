"""The reference of every key, generated from the types: `stm32pose schema` and docs/reference.md."""

from __future__ import annotations

import textwrap
import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from stm32pose.config.base import Section
from stm32pose.config.built import NOT_BUILT
from stm32pose.config.describe import describe_field
from stm32pose.config.layouts import MOVES, ON_TARGET_MOVES, dotted
from stm32pose.config.schema import Config

WIDTH = 110

HEADING = """\
# Every key of a configuration, with its default. A file holds only what differs.
#
# Files of ST's 3.x and 4.x releases are read unchanged; where 3.x had another place for a key, it is named here.
# Numbers may be written 1/127.5 or 5.0e-4, sequences (192, 192, 3); None and null are the same; ${NAME} is an
# environment variable, ${section.key} another key. A path is relative to the folder you are in.
# `???` marks a key without a default.
"""

MARKDOWN = """\
# Reference of the configuration

Every key with its default, what is allowed and what it means. This page is generated from the types by
`stm32pose schema --markdown > docs/reference.md`; see [configuration.md](configuration.md) for how to use it.

```yaml
{reference}```
"""


def reference() -> str:
    """Every key as YAML text: default, what is allowed, description, older spelling."""
    return "\n".join([HEADING, *_section(Config, (), indent=0)]) + "\n"


def reference_markdown() -> str:
    """The page docs/reference.md."""
    return MARKDOWN.format(reference=reference())


def _section(section: type[Section], path: tuple[str, ...], indent: int) -> Iterator[str]:
    for name, field in section.model_fields.items():
        below = (*path, name)
        inner = _section_type(field.annotation)
        if not path:
            yield ""
        for line in _comment(field, below, inner):
            yield " " * indent + line
        if inner is None:
            yield " " * indent + f"{name}: {_default(field)}"
            for line in _items(field, below):
                yield " " * indent + line
        else:
            yield " " * indent + f"{name}:"
            yield from _section(inner, below, indent + 2)


def _items(field: FieldInfo, path: tuple[str, ...]) -> Iterator[str]:
    """The keys of one item, commented out, where the value is a list of sections."""
    types_of_items = get_args(field.annotation) if get_origin(field.annotation) is list else ()
    for section in filter(None, map(_section_type, types_of_items)):
        yield "# The keys of an item:"
        yield from (f"#   {line}" for line in _section(section, path, 0))


def _comment(field: FieldInfo, path: tuple[str, ...], inner: type[Section] | None) -> Iterator[str]:
    parts = [" ".join((field.description or "").split())]
    if inner is None:
        parts.append(f"[{describe_field(field)}]")
    older = [dotted(old) for old, new in (*MOVES.items(), *ON_TARGET_MOVES.items()) if new == path]
    if older:
        parts.append(f"(3.x: {', '.join(older)})")
    for row in NOT_BUILT:
        if row.key == dotted(path):
            parts.append(f"(not built yet to {', '.join(row.steps)}: {', '.join(str(value) for value in row.values)})")
    yield from (f"# {line}" for line in textwrap.wrap(" ".join(part for part in parts if part), WIDTH))


def _section_type(expected: Any) -> type[Section] | None:
    if get_origin(expected) in (Union, types.UnionType):
        found = [inner for arg in get_args(expected) if (inner := _section_type(arg))]
        return found[0] if found else None
    return expected if isinstance(expected, type) and issubclass(expected, Section) else None


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    return "???" if value is PydanticUndefined else _yaml(value)


def _yaml(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "1/127.5" if value == 1 / 127.5 else repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    text = str(value)
    return f'"{text}"' if not text or text[0] in "<>&*!|%@`{}[]#'\"" or ": " in text else text
