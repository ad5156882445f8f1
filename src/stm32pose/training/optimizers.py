"""Any Keras optimizer and learning-rate schedule by name, constructed without evaluating text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stm32pose.errors import ConfigError, did_you_mean
from stm32pose.training.arguments import check_arguments, construct, number

if TYPE_CHECKING:
    import keras

# Wrappers and bases that a configuration cannot construct on their own.
_NOT_ALONE = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap"}
_OLD_NAMES = {"lr": "learning_rate", "decay": "learning_rate: {InverseTimeDecay: {...}}"}


def build_optimizer(
    section: Mapping[str, Mapping[str, Any] | None], *, steps: int, where: str = "training.optimizer"
) -> keras.optimizers.Optimizer:
    """The optimizer of `{name: {argument: value}}`.

    `learning_rate` is a number or a Keras schedule, `{CosineDecay: {initial_learning_rate: 1.0e-3}}`; a schedule
    without `decay_steps` decays over the whole training.

    Args:
        section: one Keras optimizer and its arguments.
        steps: optimizer steps of the whole training.
        where: name of the section, for messages.

    Raises:
        ConfigError: the name or an argument is unknown, or a value is of the wrong type or out of range.
    """
    import keras

    if len(section) != 1:
        raise ConfigError(f"{where}: got {list(section)}; exactly one optimizer is needed")
    name, given = next(iter(section.items()))
    cls = named_class(keras.optimizers, name, keras.optimizers.Optimizer, _NOT_ALONE, where=where, what="optimizer")
    where = f"{where}.{name}"
    given = dict(given or {})
    for old, new in _OLD_NAMES.items():
        if old in given:
            raise ConfigError(f"{where}.{old}: no longer an argument in Keras 3; write {new}")
    arguments = check_arguments(cls, given, where=where, free=["learning_rate"])
    if "learning_rate" in arguments:
        arguments["learning_rate"] = _learning_rate(arguments["learning_rate"], steps, f"{where}.learning_rate")
    return construct(cls, arguments, where=where)


def has_schedule(section: Mapping[str, Mapping[str, Any] | None]) -> bool:
    """Whether the optimizer's learning rate is a schedule, so that no callback may change it."""
    return any(isinstance((given or {}).get("learning_rate"), Mapping) for given in section.values())


def named_class(module: Any, name: str, base: type, refused: set[str], *, where: str, what: str) -> type:
    """The public class `name` of a Keras module that derives from `base`. ConfigError: there is none."""
    known = sorted(key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, base))
    allowed = [key for key in known if key not in refused]
    if name not in allowed:
        raise ConfigError(
            f"{where}: unknown {what} '{name}'; allowed: {', '.join(allowed)}{did_you_mean(name, allowed)}"
        )
    return getattr(module, name)


def _learning_rate(value: Any, steps: int, where: str) -> Any:
    import keras

    if not isinstance(value, Mapping):
        rate = number(value, where)
        if rate <= 0:
            raise ConfigError(f"{where}: got {rate:g}; it must be above 0")
        return rate
    schedules = keras.optimizers.schedules
    if len(value) != 1:
        raise ConfigError(f"{where}: got {list(value)}; a number or exactly one schedule is needed")
    name, given = next(iter(value.items()))
    base = schedules.LearningRateSchedule
    cls = named_class(schedules, name, base, {"LearningRateSchedule"}, where=where, what="schedule")
    where = f"{where}.{name}"
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where}: got {given!r}; its arguments are needed, such as initial_learning_rate: 1.0e-3")
    arguments = dict(given)
    if name in ("CosineDecay", "PolynomialDecay"):
        arguments.setdefault("decay_steps", max(1, steps - int(arguments.get("warmup_steps") or 0)))
    return construct(cls, check_arguments(cls, arguments, where=where), where=where)
