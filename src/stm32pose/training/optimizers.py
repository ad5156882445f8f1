"""Any Keras optimizer and learning-rate schedule by name, constructed without evaluating text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stm32pose.errors import ConfigError, did_you_mean
from stm32pose.training.arguments import check_arguments, construct, number, signature_of
from stm32pose.training.schedules_keras import keras_schedule_problems
from stm32pose.training.schedules_steps import STEP_SCHEDULES, keras_schedule, step_schedule

if TYPE_CHECKING:
    import keras

# Wrappers and bases that a configuration cannot construct on their own.
_NOT_ALONE = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap"}
_OLD_NAMES = {"lr": "learning_rate", "decay": "learning_rate: {InverseTimeDecay: {...}}"}


def build_optimizer(
    section: Mapping[str, Mapping[str, Any] | None],
    *,
    steps: int,
    epochs: int | None = None,
    where: str = "training.optimizer",
    dry: bool = False,
) -> keras.optimizers.Optimizer:
    """The optimizer of `{name: {argument: value}}`.

    `learning_rate` is a number or a schedule, `{CosineDecay: {initial_learning_rate: 1.0e-3}}`: one of Keras, or of
    `schedules_steps`. A schedule without `decay_steps` (`boundaries`) spans the whole training.

    Args:
        section: one Keras optimizer and its arguments.
        steps: batches of the whole training; a schedule counts them, also where gradients are accumulated.
        epochs: of the whole training; None: not known yet, only names and arguments are of interest.
        where: name of the section, for messages.
        dry: a dry run of a longer training, whose warm-up may be longer than it is.

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
        rate, here = arguments["learning_rate"], f"{where}.learning_rate"
        arguments["learning_rate"] = build_rate(rate, steps, epochs, here, dry=dry)
    return construct(cls, arguments, where=where)


def has_schedule(section: Mapping[str, Mapping[str, Any] | None]) -> bool:
    """Whether the optimizer's learning rate is a schedule, so that no callback may change it."""
    return any(isinstance((given or {}).get("learning_rate"), Mapping) for given in section.values())


def named_class(
    module: Any,
    name: str,
    base: type,
    refused: set[str],
    *,
    where: str,
    what: str,
    more: tuple[str, ...] = (),
) -> type:
    """The public class `name` of a Keras module that derives from `base`; `more` are names allowed beside these.

    Raises:
        ConfigError: there is none.
    """
    known = {key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, base)}
    allowed = sorted({*known, *more} - refused)
    if name not in allowed:
        raise ConfigError(
            f"{where}: unknown {what} '{name}'; allowed: {', '.join(allowed)}{did_you_mean(name, allowed)}"
        )
    return getattr(module, name)


def check_rate(value: Any, where: str) -> float:
    """A constant learning rate. ConfigError: it is no number, or not above 0."""
    rate = number(value, where)
    if not 0 < rate < math.inf:
        raise ConfigError(f"{where}: got {rate:g}; it must be above 0")
    return rate


def one_schedule(value: Mapping[str, Any], where: str) -> tuple[str, Mapping[str, Any]]:
    """(name, arguments) of the schedule that `value` names. ConfigError: it names none, several, or no arguments."""
    if len(value) != 1:
        raise ConfigError(f"{where}: got {list(value)}; a number or exactly one schedule is needed")
    name, given = next(iter(value.items()))
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"{where}.{name}: got {given!r}; its arguments are needed, such as initial_learning_rate: 1.0e-3"
        )
    return name, given


def build_rate(value: Any, steps: int, epochs: int | None, where: str, *, dry: bool = False) -> Any:
    """The `learning_rate` of an optimizer: a number, or a schedule of Keras or of `schedules_steps`.

    Raises:
        ConfigError: a name or an argument is unknown, or a value is of the wrong type or out of range.
    """
    import keras

    if not isinstance(value, Mapping):
        return check_rate(value, where)
    schedules = keras.optimizers.schedules
    name, given = one_schedule(value, where)
    if name in STEP_SCHEDULES:
        return keras_schedule(step_schedule(name, given, f"{where}.{name}", steps=steps, epochs=epochs, dry=dry))
    base = schedules.LearningRateSchedule
    cls = named_class(
        schedules, name, base, {"LearningRateSchedule"}, where=where, what="schedule", more=tuple(STEP_SCHEDULES)
    )
    where = f"{where}.{name}"
    filled = {"decay_steps": None} if "decay_steps" in signature_of(cls) else {}
    arguments = check_arguments(cls, {**filled, **given}, where=where)
    lines = keras_schedule_problems(given, where, steps=None if dry or epochs is None else steps)
    if lines:
        raise ConfigError("\n".join(lines))
    if filled and arguments["decay_steps"] is None:
        arguments["decay_steps"] = max(1, steps - arguments.get("warmup_steps", 0))
    return construct(cls, arguments, where=where)


def used_learning_rate(optimizer: Any) -> float:
    """The learning rate of the last step taken; before there is one, that of the first.

    `optimizer.learning_rate` of a schedule is that of the step to come.
    """
    import keras

    inner = getattr(optimizer, "inner_optimizer", optimizer)
    rate = inner._learning_rate
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        # `iterations` counts updates where gradients are accumulated, `_iterations` what the schedule is asked for.
        rate = rate(max(int(scalar(inner._iterations)) - 1, 0))
    return scalar(rate)


def scalar(value: Any) -> float:
    """The one number in a tensor or variable."""
    import keras

    found: Any = keras.ops.convert_to_numpy(value)
    return float(found)
