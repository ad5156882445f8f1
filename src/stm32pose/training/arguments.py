"""Arguments of Keras classes, checked against the signature before anything is constructed."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any

from stm32pose.errors import ConfigError, did_you_mean

# What arguments take whose default does not tell (None, a whole number that stands for any number, or no default).
_NUMBERS = {
    "adam_lr_ratio",
    "baseline",
    "clipnorm",
    "clipvalue",
    "decay_rate",
    "global_clipnorm",
    "initial_learning_rate",
    "learning_rate",
    "loss_scale_factor",
    "min_delta",
    "min_lr",
    "warmup_target",
    "weight_decay",
}
_WHOLE = {"decay_steps", "ema_overwrite_frequency", "first_decay_steps", "gradient_accumulation_steps", "warmup_steps"}
_LISTS = {"boundaries", "exclude_layers", "values"}
_NUMBER_LISTS = {"boundaries", "values"}
FILLED = {"decay_steps"}
"""Arguments that the run fills in where they are absent or null."""


def signature_of(cls: type, hidden: Iterable[str] = ()) -> dict[str, inspect.Parameter]:
    """The named arguments of a class that a configuration may set."""
    skipped = {"self", "name", *hidden}
    return {
        name: parameter
        for name, parameter in inspect.signature(cls).parameters.items()
        if name not in skipped and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def check_arguments(
    cls: type, given: Mapping[str, Any], *, where: str, hidden: Iterable[str] = (), free: Iterable[str] = ()
) -> dict[str, Any]:
    """`given` as keyword arguments of `cls`; those named in `free` are taken as they are.

    Raises:
        ConfigError: an argument is unknown, missing or of the wrong type.
    """
    allowed = signature_of(cls, hidden)
    for name in given:
        if name not in allowed:
            names = ", ".join(allowed) or "none"
            raise ConfigError(f"{where}.{name}: unknown argument; allowed: {names}{did_you_mean(name, allowed)}")
    for name, parameter in allowed.items():
        if parameter.default is parameter.empty and name not in given:
            raise ConfigError(f"{where}: argument '{name}' is missing")
    return {
        name: value if name in free else check_value(value, name, allowed[name].default, where=f"{where}.{name}")
        for name, value in given.items()
    }


def construct(cls: type, arguments: Mapping[str, Any], *, where: str) -> Any:
    """`cls(**arguments)`; what Keras finds wrong with the values becomes a ConfigError of one line."""
    try:
        return cls(**arguments)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: {' '.join(str(error).split())}") from error


def number(value: Any, where: str) -> float:
    """`value` where it is a number. ConfigError: it is not."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{where}: got {value!r}; a number is needed")
    return float(value)


def check_value(value: Any, name: str, default: Any, *, where: str) -> Any:
    """`value` in the type that the argument `name` takes, which its default tells (`inspect.Parameter.empty`: none).

    Raises:
        ConfigError: it is of another type.
    """
    if value is None and (default is None or name in FILLED):
        return None
    if name in _LISTS:
        return _list(value, where, numbers=name in _NUMBER_LISTS)
    if name in _WHOLE:
        return _whole(value, where)
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ConfigError(f"{where}: got {value!r}; True or False is needed")
        return value
    if name in _NUMBERS or isinstance(default, float):
        return number(value, where)
    if name == "verbose" and isinstance(value, bool):
        return int(value)
    if isinstance(default, int):
        return _whole(value, where)
    if isinstance(default, str) and not isinstance(value, str):
        raise ConfigError(f"{where}: got {value!r}; a name is needed")
    if value is None and default is inspect.Parameter.empty:
        raise ConfigError(f"{where}: got None; a value is needed")
    return value


def _whole(value: Any, where: str) -> int:
    real = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not real or value != int(value) or value < 0:
        raise ConfigError(f"{where}: got {value!r}; a whole number, 0 or more, is needed")
    return int(value)


def _list(value: Any, where: str, *, numbers: bool) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where}: got {value!r}; a list is needed")
    return [number(item, f"{where}[{place}]") if numbers else item for place, item in enumerate(value)]
