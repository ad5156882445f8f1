"""A small language for conditions: numbers, names, arithmetic, comparisons, and, or, not.

Python's parser makes the tree; nothing of it is ever run. A tree is checked once, then evaluated for all rows at once.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from stm32pose.errors import ConfigError, did_you_mean

LONGEST = 1000
"""Characters of an expression."""

DEEPEST = 50
"""Levels of an expression; the terms of a sum are one each, those of `and` and `or` together one."""

_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ALLOWED = "numbers, names, + - * /, comparisons, and, or, not, parentheses"


@dataclass(frozen=True)
class Expression:
    """A checked expression.

    Attributes:
        text: as the user wrote it.
        clauses: (text, condition) of the parts that a top-level `and` joins; all must hold.
        names: all names in it.
    """

    text: str
    clauses: tuple[tuple[str, ast.expr], ...]
    names: frozenset[str]


def parse_expression(
    text: str, *, numbers: Sequence[str], conditions: Sequence[str], where: str, shown: Sequence[str] = ()
) -> Expression:
    """Read an expression.

    Args:
        text: `visible >= 5 and box_height > 64`.
        numbers: names that are numbers.
        conditions: names that hold or do not; where a number is wanted they are 1 or 0.
        where: the key of the configuration, for messages.
        shown: the names that a message lists; absent: all.

    Raises:
        ConfigError: it is no such expression, or a name is unknown; one line with the place in the text.
    """
    text = " ".join(text.split())
    if not text or len(text) > LONGEST:
        raise ConfigError(f"{where}: got {len(text)} characters; wanted an expression of 1 to {LONGEST}")
    strange = re.search(r"[^\w\s.+\-*/()<>=!]", text, re.ASCII)
    if strange:
        _refuse(text, strange.start(), f"'{strange.group()}' is not allowed", where)
    try:
        tree = ast.parse(text, mode="eval").body
        parts = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
        checker = _Checker(text, numbers, conditions, shown or (*numbers, *conditions), where)
        for part in parts:
            checker.condition(part)
    except SyntaxError as error:
        place = (error.offset or len(text) + 1) - 1  # 0 is Python's word for the end
        _refuse(text, place, _reason(text, error), where)
    except (RecursionError, MemoryError, ValueError) as error:
        raise ConfigError(f"{where}: the expression is nested too deeply, or a number is too long") from error
    clauses = tuple((ast.get_source_segment(text, part) or text, part) for part in parts)
    return Expression(text, clauses, frozenset(checker.names))


def evaluate(node: ast.expr, values: Mapping[str, Any]) -> Any:
    """The value of a checked expression for all rows at once; scalars where it names nothing.

    Args:
        node: of an `Expression`.
        values: name -> float64 or bool [rows]; asked for names that occur only.

    A quotient with 0 below is nan; no comparison with nan holds.
    """
    if isinstance(node, ast.Constant):
        return float(node.value)  # pyright: ignore[reportArgumentType] (checked)
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.BoolOp):
        parts = [evaluate(part, values) for part in node.values]
        join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        result = parts[0]
        for part in parts[1:]:
            result = join(result, part)
        return result
    if isinstance(node, ast.UnaryOp):
        value = evaluate(node.operand, values)
        if isinstance(node.op, ast.Not):
            return np.logical_not(value)
        return -_number(value) if isinstance(node.op, ast.USub) else _number(value)
    if isinstance(node, ast.BinOp):
        left, right = _number(evaluate(node.left, values)), _number(evaluate(node.right, values))
        with np.errstate(all="ignore"):
            if isinstance(node.op, ast.Div):
                return np.where(right == 0, np.nan, left / np.where(right == 0, 1.0, right))
            return _BINARY[type(node.op)](left, right)
    if isinstance(node, ast.Compare):
        sides = [_number(evaluate(side, values)) for side in (node.left, *node.comparators)]
        result = np.True_
        for op, left, right in zip(node.ops, sides, sides[1:], strict=False):
            known = ~(np.isnan(left) | np.isnan(right))
            result = result & known & _COMPARE[type(op)](left, right)
        return result
    raise TypeError(f"{type(node).__name__} was not checked")


def _number(value: Any) -> Any:
    return np.asarray(value, dtype=np.float64)


class _Checker:
    """Refuses what is not of the language; conditions and numbers are told apart."""

    def __init__(
        self, text: str, numbers: Sequence[str], conditions: Sequence[str], shown: Sequence[str], where: str
    ) -> None:
        self.names: set[str] = set()
        self._text, self._where, self._shown = text, where, shown
        self._numbers, self._conditions = numbers, conditions
        self._depth = 0

    def condition(self, node: ast.expr) -> None:
        if not self._is_condition(node):
            part = ast.get_source_segment(self._text, node) or "this"
            self._refuse(node, f"'{part}' is a number; wanted a condition, such as {part} > 0")

    def _is_condition(self, node: ast.expr) -> bool:
        """Whether a checked node is a condition (else it is a number)."""
        if self._depth >= DEEPEST:
            self._refuse(node, f"nested too deeply; allowed are {DEEPEST} levels")
        self._depth += 1
        result = self._kind(node)
        self._depth -= 1
        return result

    def _kind(self, node: ast.expr) -> bool:
        if isinstance(node, ast.BoolOp):
            for part in node.values:
                self.condition(part)
            return True
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self.condition(node.operand)
            return True
        if isinstance(node, ast.Compare):
            if not all(type(op) in _COMPARE for op in node.ops):
                self._refuse(node, "only < <= > >= == != compare")
            for side in (node.left, *node.comparators):
                self._is_condition(side)  # a condition is 0 or 1 here
            return True
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, ast.BinOp) and (type(node.op) in _BINARY or isinstance(node.op, ast.Div)):
            self._is_condition(node.left)
            self._is_condition(node.right)
            return False
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
            self._is_condition(node.operand)
            return False
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            if not abs(node.value) < 1e18:  # pyright: ignore[reportOperatorIssue, reportArgumentType] (a number)
                self._refuse(node, "the number is too large")
            return False
        return self._refuse(node, f"not allowed; allowed are {_ALLOWED}")

    def _name(self, node: ast.Name) -> bool:
        name = node.id
        self.names.add(name)
        if name in self._numbers or name in self._conditions:
            return name in self._conditions
        near = did_you_mean(name, (*self._numbers, *self._conditions))
        return self._refuse(node, f"unknown name '{name}'{near}; names: {', '.join(self._shown)}")

    def _refuse(self, node: ast.expr, what: str) -> NoReturn:
        _refuse(self._text, node.col_offset, what, self._where)


def _refuse(text: str, place: int, what: str, where: str) -> NoReturn:
    raise ConfigError(f"{where}: got '{text}'; at character {place + 1}: {what}")


def _reason(text: str, error: SyntaxError) -> str:
    if re.search(r"(?<![<>=!])=(?!=)", text):
        return "a single = compares nothing: write =="
    if re.search(r"\b(AND|OR|NOT)\b", text):
        return "and, or, not are written in lower case"
    reason = (error.msg or "invalid syntax").split(". ")[0] if error.offset else "something is missing"
    return f"{reason}; allowed are {_ALLOWED}"
