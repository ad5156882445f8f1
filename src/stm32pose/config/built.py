"""What the schema knows and this release cannot do yet: one table, a row goes when its service comes.

Asking for such a service is an error of the configuration that names what there is instead; nothing pretends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from stm32pose.config.layouts import MOVES, dotted
from stm32pose.config.schema import Config
from stm32pose.errors import ConfigError


@dataclass(frozen=True)
class Later:
    """One thing that is not built yet.

    Attributes:
        key: its place in Config, `quantization.quantizer`.
        values: the values that are not built.
        steps: the steps that would use it; elsewhere the key is left alone.
        instead: what to write meanwhile.
        when: a further condition, or None.
    """

    key: str
    values: tuple[Any, ...]
    steps: tuple[str, ...]
    instead: str
    when: Callable[[Config], bool] | None = None


def _per_tensor(config: Config) -> bool:
    return config.quantization is not None and config.quantization.granularity == "per_tensor"


NOT_BUILT: tuple[Later, ...] = (
    Later("quantization.quantization_type", ("QAT",), ("quantize",), "available: PTQ"),
    Later("quantization.optimize", (True,), ("quantize",), "available with per_tensor: optimize: False", _per_tensor),
)


def not_built(config: Config) -> list[str]:
    """One line for everything that a configuration asks for and that is not built yet."""
    return [f"{_key(key)}: {message}" for key, message in _found(config)]


def check_built(config: Config) -> None:
    """Raise ConfigError, one line each, where a configuration asks for what is not built yet."""
    lines = not_built(config)
    if lines:
        raise ConfigError("\n".join(lines))


def _found(config: Config) -> Iterator[tuple[str, str]]:
    for row in NOT_BUILT:
        value = _value(config, row.key)
        if value in row.values and set(row.steps) & set(config.steps) and (row.when is None or row.when(config)):
            yield row.key, f"{value} is not built yet; {row.instead}"


def _value(config: Config, key: str) -> Any:
    node: Any = config
    for part in key.split("."):
        node = getattr(node, part, None)
    return node


def _key(key: str) -> str:
    """The key, with its place in 3.x files where that was another one."""
    older = [dotted(old) for old, new in MOVES.items() if dotted(new) == key]
    return f"{key} (3.x: {older[0]})" if older else key
