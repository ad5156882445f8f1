"""ST's spellings of values ("1/127.5", "(192, 192, 3)", "None", "5.0e-4"), read without running anything.

What a text becomes is decided by the type that the schema expects: a number where a number is expected, the same text
where text is. Only where the schema leaves the type open (arguments of augmentations, optimizers, callbacks) is the
text itself asked.
"""

from __future__ import annotations

import ast
import math
import re
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from stm32pose.config.base import Section

Number = int | float

# Longer texts are no numbers; the limit also bounds the parser's work.
LONGEST = 400
MOST_NODES = 200
LARGEST_EXPONENT = 64
LARGEST_BASE = 1e6

_ARITHMETIC = re.compile(r"[-+*/().,\[\]\s\d_eE]*\d[-+*/().,\[\]\s\d_eE]*")
_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")
_NULL = ("none", "null", "~")

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Number]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Pow: lambda a, b: _power(a, b),
}


def is_null(value: Any) -> bool:
    """Whether a value means "nothing": null, or ST's text `None`."""
    return value is None or (isinstance(value, str) and value.strip() in ("None", "null", "~", "none", "NULL", "Null"))


def parse_number(text: str) -> Number:
    """The number that a text of numeric literals, + - * / // ** and parentheses stands for.

    Raises:
        ValueError: it is no such text, divides by zero, or leaves the bounds (exponents up to 64, finite result).
    """
    value = _evaluate(text)
    if isinstance(value, tuple | list):
        raise ValueError(f"{text!r} is a sequence, not a number")
    return value


def parse_value(text: str) -> Any:
    """What a text stands for where the schema leaves the type open: bool, null, number, tuple, or the text itself."""
    stripped = text.strip()
    if stripped in ("True", "true"):
        return True
    if stripped in ("False", "false"):
        return False
    if is_null(stripped):
        return None
    try:
        return _evaluate(stripped)
    except ValueError:
        return text


def convert(value: Any, expected: Any) -> Any:
    """`value` with ST's spellings turned into what `expected`, a type of the schema, wants.

    What cannot be turned is handed on unchanged: the validation that follows says what was got and what is allowed.
    """
    origin, args = get_origin(expected), get_args(expected)
    if origin is Annotated:
        return convert(value, args[0])
    if origin in (Union, types.UnionType):
        return _convert_union(value, args)
    if isinstance(expected, type) and issubclass(expected, Section):
        return convert_section(value, expected)
    if origin is Literal:
        return _convert_literal(value, args)
    if origin is dict or expected is dict:
        return _convert_dict(value, args)
    if origin is list:
        return _convert_list(value, args[0])
    if origin is tuple:
        return _convert_tuple(value, args)
    if expected is bool:
        return _convert_bool(value)
    if expected in (int, float):
        return _convert_number(value, expected)
    if expected is str:
        return _convert_text(value)
    return _open_value(value)


def convert_section(value: Any, section: type[Section]) -> Any:
    """`value` with every known key converted; a null where null is not a value of its own means "as if absent"."""
    if not isinstance(value, dict):
        return value
    result = {}
    for key, item in value.items():
        field = section.model_fields.get(key)
        if field is None:
            result[key] = item
        elif is_null(item) and not names_itself(item, field.annotation):
            if allows_null(field.annotation) or field.is_required():
                result[key] = None
        else:
            result[key] = convert(item, field.annotation)
    return result


def names_itself(text: Any, expected: Any) -> bool:
    """Whether "none" is one of the names to choose from, as in `neck: none`, and not a null."""
    names = get_args(expected) if get_origin(expected) is Literal else ()
    return isinstance(text, str) and text.strip().lower() in names


def allows_null(expected: Any) -> bool:
    """Whether a type of the schema has null among its values."""
    return get_origin(expected) in (Union, types.UnionType) and type(None) in get_args(expected)


def _evaluate(text: str) -> Any:
    if len(text) > LONGEST or not _ARITHMETIC.fullmatch(text):
        raise ValueError(f"{text[:LONGEST]!r} is not a number")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ValueError(f"{text!r} is not a number") from None
    if sum(1 for _ in ast.walk(tree)) > MOST_NODES:
        raise ValueError(f"{text!r} is too long")
    try:
        return _node(tree.body, text)
    except (ArithmeticError, RecursionError) as error:
        raise ValueError(f"{text!r} cannot be computed ({error})") from None


def _node(node: ast.expr, text: str) -> Any:
    if isinstance(node, ast.Tuple):
        return tuple(_node(item, text) for item in node.elts)
    if isinstance(node, ast.List):
        return [_node(item, text) for item in node.elts]
    value: Any
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        value = node.value
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        operand = _operand(node.operand, text)
        value = -operand if isinstance(node.op, ast.USub) else operand
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        value = _OPERATORS[type(node.op)](_operand(node.left, text), _operand(node.right, text))
    else:
        raise ValueError(f"{text!r} is not a number")
    if isinstance(value, complex) or not math.isfinite(value):
        raise ValueError(f"{text!r} is not a finite number")
    return value


def _operand(node: ast.expr, text: str) -> Number:
    value = _node(node, text)
    if isinstance(value, tuple | list):
        raise ValueError(f"{text!r} is not a number")
    return value


def _power(base: Number, exponent: Number) -> Number:
    if abs(exponent) > LARGEST_EXPONENT or abs(base) > LARGEST_BASE:
        raise OverflowError("a power too large")
    return base**exponent


def _open_value(value: Any) -> Any:
    if isinstance(value, str):
        return parse_value(value)
    if isinstance(value, dict):
        return {key: _open_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_open_value(item) for item in value]
    return value


def _convert_union(value: Any, args: tuple[Any, ...]) -> Any:
    if is_null(value) and type(None) in args:
        return None
    others = [arg for arg in args if arg is not type(None)]
    return convert(value, others[0]) if len(others) == 1 else value


def _convert_literal(value: Any, allowed: tuple[Any, ...]) -> Any:
    """Any case is accepted, as ST's parser did for the quantizer."""
    if isinstance(value, str) and value not in allowed:
        matches = [item for item in allowed if str(item).lower() == value.strip().lower()]
        return matches[0] if matches else value
    return value


def _convert_dict(value: Any, args: tuple[Any, ...]) -> Any:
    if is_null(value):
        return {}
    if not isinstance(value, dict):
        return value
    expected = args[1] if args else Any
    return {str(key): convert(item, expected) for key, item in value.items()}


def _convert_list(value: Any, expected: Any) -> Any:
    if isinstance(value, str):
        inner = value.strip()
        if inner[:1] in ("[", "(") and inner[-1:] in ("]", ")"):
            value = [item.strip() for item in inner[1:-1].split(",") if item.strip()]
        else:
            value = [value]
    return [convert(item, expected) for item in value] if isinstance(value, list | tuple) else value


def _convert_tuple(value: Any, args: tuple[Any, ...]) -> Any:
    if isinstance(value, str):
        value = parse_value(value)
    if not isinstance(value, list | tuple):
        return value
    expected = [args[0]] * len(value) if args[-1:] == (Ellipsis,) else list(args)
    if len(expected) != len(value):
        return list(value)
    return [convert(item, kind) for item, kind in zip(value, expected, strict=True)]


def _convert_bool(value: Any) -> Any:
    if isinstance(value, str):
        text = value.strip().lower()
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
    return value


def _convert_number(value: Any, expected: type) -> Any:
    if isinstance(value, str):
        try:
            value = parse_number(value)
        except ValueError:
            return value
    # A whole float is a fine integer; true and false are no numbers.
    if expected is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool):
        return str(value)
    return value


def _convert_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
