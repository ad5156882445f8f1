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

TRAINED = ("heatmaps_spe", "simcc_spe", "movenet_spe", "spe")
"""Model types with a loss; files of the others are evaluated, predicted, quantized and deployed only."""


@dataclass(frozen=True)
class Later:
    """One thing that is not built yet.

    Attributes:
        key: its place in Config, `quantization.quantizer`.
        values: the values that are not built.
        steps: the steps that would use it; elsewhere the key is left alone.
        instead: what to write meanwhile.
        when: a further condition, or None.
        why: what is said of the value.
    """

    key: str
    values: tuple[Any, ...]
    steps: tuple[str, ...]
    instead: str
    when: Callable[[Config], bool] | None = None
    why: str = "is not built yet"


def _file_only(model_type: str, instead: str) -> Later:
    """A row for a model type whose networks are not trained here."""
    return Later("model.model_type", (model_type,), ("train",), instead, why="files are evaluated, not trained")


def _per_tensor(config: Config) -> bool:
    return config.quantization is not None and config.quantization.granularity == "per_tensor"


NOT_BUILT: tuple[Later, ...] = (
    _file_only("hand_spe", "train hands as heatmaps_spe, simcc_spe, movenet_spe or spe with dataset.skeleton: hand21"),
    _file_only("head_spe", "train faces as heatmaps_spe, simcc_spe, movenet_spe or spe with dataset.skeleton: face68"),
    _file_only("yolo_mpe", f"available for training, one person an image: {', '.join(TRAINED)}"),
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
            yield row.key, f"{value} {row.why}; {row.instead}"
    if "benchmark" in config.steps and config.benchmarking and "emulate" in config.benchmarking.backends:
        yield "benchmarking.backend", "emulate is not built yet; available: auto, cloud, stedgeai, estimate"


def _value(config: Config, key: str) -> Any:
    node: Any = config
    for part in key.split("."):
        node = getattr(node, part, None)
    return node


def _key(key: str) -> str:
    """The key, with its place in 3.x files where that was another one."""
    older = [dotted(old) for old, new in MOVES.items() if dotted(new) == key]
    return f"{key} (3.x: {older[0]})" if older else key
