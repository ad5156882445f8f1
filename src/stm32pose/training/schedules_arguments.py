"""Arguments of the learning-rate schedules defined here: kinds, bounds, and the line that a wrong one gets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from stm32pose.errors import ConfigError, did_you_mean

REQUIRED: Any = object()
"""Default of an argument that must be written."""


@dataclass(frozen=True)
class Argument:
    """One argument of a schedule.

    Attributes:
        kind: `number`, `whole`, `numbers` (a list of them), `places` (whole numbers that grow), `flag` or `choice`.
        least, most: bounds of the value, or of every value of a list.
        open: whether `least` itself is outside.
        default: REQUIRED where there is none.
        choices: what a `choice` may be.
    """

    kind: str
    least: float = 0.0
    most: float = math.inf
    open: bool = False
    default: Any = REQUIRED
    choices: tuple[str, ...] = ()

    def read(self, value: Any) -> Any:
        """`value` in the type that the schedule computes with.

        Raises:
            ValueError: it is of another kind or out of bounds; the text says what is needed.
        """
        if self.kind == "flag":
            if isinstance(value, bool) or value in (0, 1):
                return bool(value)
        elif self.kind == "choice":
            if value in self.choices:
                return value
        elif self.kind in ("number", "whole"):
            if self._fits(value):
                return int(value) if self.kind == "whole" else float(value)
        elif isinstance(value, list | tuple) and not value:
            raise ValueError(f"it is empty; {self.wanted}")
        elif isinstance(value, list | tuple) and all(self._fits(item) for item in value):
            if self.kind == "numbers":
                return [float(item) for item in value]
            if all(a < b for a, b in pairwise(value)):
                return [int(item) for item in value]
        raise ValueError(self.wanted)

    @property
    def wanted(self) -> str:
        """`a number above 0 is needed`."""
        if self.kind == "flag":
            return "True or False (1 or 0) is needed"
        if self.kind == "choice":
            return f"allowed: {', '.join(self.choices)}"
        low = f"above {self.least:g}" if self.open else f"from {self.least:g}"
        bounds = low + (f" to {self.most:g}" if math.isfinite(self.most) else "" if self.open else " up")
        nouns = {
            "number": f"a number {bounds}",
            "whole": f"a whole number {bounds}",
            "numbers": f"a list of numbers {bounds}",
            "places": f"a list of whole numbers {bounds}, each above the one before",
        }
        return f"{nouns[self.kind]} is needed"

    def _fits(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        whole = self.kind in ("whole", "places")
        low = value > self.least if self.open else value >= self.least
        return low and value <= self.most and (not whole or value == int(value))


def argument_problems(arguments: Mapping[str, Argument], given: Any, where: str) -> list[str]:
    """A line for every argument that is unknown, missing or wrong; none where `read_arguments` will take them."""
    if given is not None and not isinstance(given, Mapping):
        return [f"{where}: got {given!r}; its arguments are needed: {', '.join(arguments)}"]
    given = given or {}
    lines = [
        f"{where}.{name}: unknown argument; allowed: {', '.join(arguments)}{did_you_mean(name, arguments)}"
        for name in given
        if name not in arguments
    ]
    for name, argument in arguments.items():
        value = given.get(name)
        if value is None:
            if argument.default is REQUIRED:
                lines.append(f"{where}: argument '{name}' is missing; {argument.wanted}")
            continue
        try:
            argument.read(value)
        except ValueError as error:
            near = did_you_mean(value, argument.choices) if argument.choices else ""
            lines.append(f"{where}.{name}: got {value!r}; {error}{near}")
    return lines


def read_arguments(arguments: Mapping[str, Argument], given: Any, where: str) -> dict[str, Any]:
    """Every argument with its value or default. ConfigError: the lines of `argument_problems`."""
    lines = argument_problems(arguments, given, where)
    if lines:
        raise ConfigError("\n".join(lines))
    values = {name: (given or {}).get(name) for name in arguments}
    return {
        name: argument.default if values[name] is None else argument.read(values[name])
        for name, argument in arguments.items()
    }
