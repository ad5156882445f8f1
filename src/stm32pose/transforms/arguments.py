"""Arguments of augmentations: what each may be, and the line that says so when it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stm32pose.errors import did_you_mean

REQUIRED = object()
"""Default of an argument that has to be given."""


@dataclass(frozen=True)
class Spread:
    """A number f or a pair (low, high), read as the interval to draw from: `centre` -f to `centre` +f, or the pair.

    Attributes:
        low, high: bounds of both numbers of a pair.
        unit: what is counted, for messages.
        most: largest single number, `high` - `centre` where absent.
        centre: where a single number spreads from.
        default: `REQUIRED`, or None for an argument that may be absent.
    """

    low: float
    high: float
    unit: str
    most: float | None = None
    centre: float = 0.0
    default: Any = REQUIRED

    def read(self, value: Any) -> tuple[float, float]:
        most = self.high - self.centre if self.most is None else self.most
        if _is_number(value) and 0 <= value <= most:
            return self.centre - float(value), self.centre + float(value)
        if _is_pair(value) and self.low <= value[0] < value[1] <= self.high:
            return float(value[0]), float(value[1])
        raise ValueError(
            f"allowed {self.unit} from 0 to {most:g}, or two of them, growing, from {self.low:g} to {self.high:g}"
        )


@dataclass(frozen=True)
class Interval:
    """A pair (low, high) to draw from, or a number v: always v, or with `from_zero` from 0 to v.

    Attributes:
        low, high: bounds of all of them.
        unit: what is counted, for messages.
        default: the pair itself, or `REQUIRED`.
    """

    low: float
    high: float
    unit: str
    default: Any = REQUIRED
    from_zero: bool = False

    def read(self, value: Any) -> tuple[float, float]:
        if _is_number(value) and self.low <= value <= self.high:
            return (0.0 if self.from_zero else float(value)), float(value)
        if _is_pair(value) and self.low <= value[0] <= value[1] <= self.high:
            return float(value[0]), float(value[1])
        raise ValueError(f"allowed {self.unit} from {self.low:g} to {self.high:g}, or two of them, low first")


@dataclass(frozen=True)
class Number:
    """A number from `low` to `high`; `whole`: an integer."""

    low: float
    high: float
    default: Any = REQUIRED
    whole: bool = False

    def read(self, value: Any) -> float:
        if _is_number(value) and self.low <= value <= self.high and (not self.whole or float(value).is_integer()):
            return int(value) if self.whole else float(value)
        raise ValueError(f"allowed {'a whole' if self.whole else 'a'} number from {self.low:g} to {self.high:g}")


@dataclass(frozen=True)
class Counts:
    """A whole number n, read as (n, n), or a pair of whole numbers, low first."""

    low: int
    high: int
    default: Any = REQUIRED

    def read(self, value: Any) -> tuple[int, int]:
        low, high = value if _is_pair(value) else (value, value)
        if isinstance(low, int) and isinstance(high, int) and _is_number(low) and self.low <= low <= high <= self.high:
            return low, high
        raise ValueError(f"allowed a whole number from {self.low} to {self.high}, or two of them, low first")


@dataclass(frozen=True)
class Choice:
    """One of some words; case is ignored."""

    words: tuple[str, ...]
    default: Any = REQUIRED

    def read(self, value: Any) -> str:
        for word in self.words:
            if str(value).lower() == word.lower():
                return word
        raise ValueError(f"allowed {', '.join(self.words)}{did_you_mean(value, self.words)}")


@dataclass(frozen=True)
class Flag:
    """True or False."""

    default: Any = REQUIRED

    def read(self, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        raise ValueError("allowed True, False")


@dataclass(frozen=True)
class Colour:
    """A grey level or (red, green, blue), whole numbers from 0 to 255; read as three."""

    default: Any = REQUIRED

    def read(self, value: Any) -> tuple[int, int, int]:
        levels = value if isinstance(value, list | tuple) else (value,) * 3
        if len(levels) == 3 and all(isinstance(item, int) and _is_number(item) and 0 <= item <= 255 for item in levels):
            return levels[0], levels[1], levels[2]
        raise ValueError("allowed a whole number from 0 to 255, or three of them: red, green, blue")


@dataclass(frozen=True)
class Sizes:
    """A list of [width, height], each a multiple of 32 pixels; read as a tuple of (H, W)."""

    default: Any = REQUIRED

    def read(self, value: Any) -> tuple[tuple[int, int], ...]:
        sizes = value if isinstance(value, list | tuple) else ()
        if sizes and all(_is_pair(size) and all(_is_side(side) for side in size) for size in sizes):
            return tuple((int(height), int(width)) for width, height in sizes)
        raise ValueError("allowed a list of [width, height], each a multiple of 32 from 32 to 4096")


Argument = Spread | Interval | Number | Counts | Choice | Flag | Colour | Sizes

RATE = {"change_rate": Number(0, 1, 1.0)}


def read_arguments(where: str, given: Mapping[str, Any] | None, allowed: Mapping[str, Argument]) -> dict[str, Any]:
    """Values of all `allowed` arguments, from `given` or by default.

    Raises:
        ValueError: its arguments are the lines of all faults, each beginning with `where`.
    """
    faults, values = [], {}
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise ValueError(f"{where}: got {given!r}; allowed {', '.join(allowed)}")
    for name in given:
        if name not in allowed:
            faults.append(
                f"{where}.{name}: no such argument; allowed {', '.join(allowed)}{did_you_mean(name, allowed)}"
            )
    for name, argument in allowed.items():
        value = given.get(name)
        if value is None:
            if argument.default is REQUIRED:
                faults.append(f"{where}.{name}: missing; {_allowed(argument)}")
            values[name] = argument.default
            continue
        try:
            values[name] = argument.read(value)
        except ValueError as error:
            faults.append(f"{where}.{name}: got {value!r}; {error}")
    if faults:
        raise ValueError(*faults)
    return values


def _allowed(argument: Argument) -> str:
    """What an argument accepts: the line that its refusal of nothing gives."""
    try:
        argument.read(None)
    except ValueError as error:
        return str(error)
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(_is_number(item) for item in value)


def _is_side(value: Any) -> bool:
    return float(value).is_integer() and 32 <= value <= 4096 and int(value) % 32 == 0
