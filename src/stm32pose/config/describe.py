"""What a type of the schema allows, in words: for error messages and for the reference."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from stm32pose.config.base import Section


def describe_field(field: FieldInfo) -> str:
    """`a whole number >= 1`, `fit, padding, crop or full_screen`, `text or null`."""
    return describe(field.annotation, tuple(field.metadata))


def describe(expected: Any, metadata: tuple[Any, ...] = ()) -> str:
    """The values that a type allows, in words."""
    origin, args = get_origin(expected), get_args(expected)
    if origin is Annotated:
        return describe(args[0], metadata + _constraints(args[1:]))
    if origin in (Union, types.UnionType):
        others = [describe(arg, metadata) for arg in args if arg is not type(None)]
        return " or ".join(others + (["null"] if type(None) in args else []))
    if origin is Literal:
        return _either([str(arg) for arg in args])
    if isinstance(expected, type) and issubclass(expected, Section):
        return "a section with the keys " + ", ".join(expected.model_fields)
    if origin is tuple:
        return f"{len(args)} values, each {describe(args[0])}, such as (192, 192, 3)"
    if origin is list:
        return f"a list, each item {describe(args[0])}"
    if origin is dict or expected is dict:
        return "names with their arguments, `Name: {argument: value}`" if _nested(args) else "keys with values"
    simple = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return simple.get(expected, "any value") + _bounds(metadata)


def field_at(section: type[Section], path: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]] | None:
    """(type, constraints) of the value at a path of keys below `section`; None where no such key is declared."""
    expected: Any = section
    metadata: tuple[Any, ...] = ()
    for key in path:
        expected = _without_null(expected)
        origin, args = get_origin(expected), get_args(expected)
        if isinstance(expected, type) and issubclass(expected, Section):
            field = expected.model_fields.get(key)
            if field is None:
                return None
            expected, metadata = field.annotation, tuple(field.metadata)
        elif origin is dict and len(args) == 2:
            expected, metadata = args[1], ()
        elif origin in (list, tuple) and isinstance(key, int) and args:
            expected, metadata = args[min(key, len(args) - 1)], ()
        else:
            return None
    return expected, metadata


def section_at(section: type[Section], path: tuple[Any, ...]) -> type[Section] | None:
    """The section class at a path of keys; None where there is something else."""
    found = field_at(section, path)
    expected = _without_null(found[0]) if found else None
    return expected if isinstance(expected, type) and issubclass(expected, Section) else None


def _without_null(expected: Any) -> Any:
    if get_origin(expected) is Annotated:
        return _without_null(get_args(expected)[0])
    if get_origin(expected) in (Union, types.UnionType):
        others = [arg for arg in get_args(expected) if arg is not type(None)]
        return _without_null(others[0]) if len(others) == 1 else expected
    return expected


def _constraints(extras: tuple[Any, ...]) -> tuple[Any, ...]:
    found: list[Any] = []
    for extra in extras:
        found += extra.metadata if isinstance(extra, FieldInfo) else [extra]
    return tuple(found)


def _bounds(metadata: tuple[Any, ...]) -> str:
    limits = []
    for item in metadata:
        for kind, sign, name in ((Ge, ">=", "ge"), (Gt, ">", "gt"), (Le, "<=", "le"), (Lt, "<", "lt")):
            if isinstance(item, kind):
                limits.append(f"{sign} {getattr(item, name)}")
    return " " + " and ".join(limits) if limits else ""


def _either(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]


def _nested(args: tuple[Any, ...]) -> bool:
    return len(args) == 2 and get_origin(args[1]) is dict
