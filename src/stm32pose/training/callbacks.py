"""Any Keras callback by name; which figure decides what the best model is."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stm32pose.errors import ConfigError, did_you_mean
from stm32pose.training.arguments import check_arguments, construct
from stm32pose.training.optimizers import named_class
from stm32pose.training.schedules import SCHEDULERS, scheduler_problems, scheduler_rate, too_many

log = logging.getLogger(__name__)

# The figures of every epoch, and which way is better.
MONITORS = {"loss": "min", "oks": "max", "val_loss": "min", "val_oks": "max", "val_pck": "max", "val_epe": "min"}

_REFUSED = {
    "TensorBoard": "always on (logs_dir); leave it out",
    "CSVLogger": "always on (logs_dir/metrics/train_metrics.csv); leave it out",
    "ProgbarLogger": "progress is always shown; leave it out",
    "History": "always kept (results.json); leave it out",
    "BackupAndRestore": "every epoch is kept already; continue a run with training.resume_training_from",
    "OrbaxCheckpoint": "every epoch is kept already; continue a run with training.resume_training_from",
    "SwapEMAWeights": "averaged weights are validated and saved wherever the optimizer has use_ema: True; leave it out",
    "LambdaCallback": "functions cannot be written in YAML; write training.callbacks without it",
    "LearningRateScheduler": (
        "functions cannot be written in YAML; write a schedule, such as training.callbacks.LRCosineDecay or "
        "training.optimizer.Adam.learning_rate: {CosineDecay: {initial_learning_rate: 1.0e-3}}"
    ),
}
# Where Keras keeps what these callbacks remember between epochs; arrays of weights are kept apart.
CALLBACK_STATE = {
    "EarlyStopping": ("wait", "stopped_epoch", "best", "best_epoch"),
    "ReduceLROnPlateau": ("wait", "cooldown_counter", "best"),
}


@dataclass(frozen=True)
class Monitor:
    """A figure of the epoch and the direction in which it improves (`min` or `max`)."""

    name: str
    mode: str

    def improves(self, value: float | None, best: float | None) -> bool:
        """Whether `value` is better than `best`; anything finite beats nothing."""
        if value is None or not math.isfinite(value):
            return False
        return best is None or (value > best if self.mode == "max" else value < best)


@dataclass(frozen=True)
class UserCallbacks:
    """What `training.callbacks` asks for.

    Attributes:
        callbacks: name -> constructed Keras callback, in the order written.
        best: which figure decides on the best model; None: the default.
        monitors: where a figure is asked for -> its name, to check that it will exist.
    """

    callbacks: dict[str, Any] = field(default_factory=dict)
    best: Monitor | None = None
    monitors: dict[str, str] = field(default_factory=dict)


def build_callbacks(
    section: Mapping[str, Mapping[str, Any] | None], *, schedule: bool = False, where: str = "training.callbacks"
) -> UserCallbacks:
    """The callbacks of `{name: {argument: value}}`.

    `ModelCheckpoint` takes `monitor` and `mode` only; the files have fixed names. `mode: auto` is `max` for OKS and
    PCK, `min` for loss and EPE.

    Args:
        section: Keras callbacks and ST's learning-rate schedulers, with their arguments.
        schedule: the optimizer's learning rate is a schedule already.
        where: name of the section, for messages.

    Raises:
        ConfigError: a name, an argument or a monitored figure is unknown, of the wrong type or not allowed here.
    """
    import keras

    built: dict[str, Any] = {}
    monitors: dict[str, str] = {}
    best = None
    lines = too_many(section, schedule=schedule, where=where)
    if lines:
        raise ConfigError(lines[0])
    for name, raw in section.items():
        here, given = f"{where}.{name}", dict(raw or {})
        refuse(name, given, here)
        if name in SCHEDULERS:
            built[name] = rate_callback(name, given, where=here)
            continue
        if name == "ModelCheckpoint":
            best = _checkpoint(given, here)
            monitors[f"{here}.monitor"] = best.name
            continue
        cls = named_class(
            keras.callbacks,
            name,
            keras.callbacks.Callback,
            {"Callback", "CallbackList", *_REFUSED},
            where=where,
            what="callback",
            more=tuple(SCHEDULERS),
        )
        arguments = check_arguments(cls, given, where=here)
        if name in CALLBACK_STATE:
            monitor = _monitor(arguments, here)
            monitors[f"{here}.monitor"] = monitor.name
            arguments |= {"monitor": monitor.name, "mode": monitor.mode}
            if name == "ReduceLROnPlateau" and monitor.name.endswith("loss"):
                # Keras asks for steps of 1e-4, more than a heat map's whole squared error.
                arguments.setdefault("min_delta", 0.0)
        built[name] = construct(cls, arguments, where=here)
    return UserCallbacks(built, best, monitors)


def rate_callback(name: str, given: Mapping[str, Any] | None, *, where: str) -> Any:
    """ST's scheduler `name` as a Keras callback, which sets the learning rate as every epoch begins.

    It remembers nothing: a resumed training goes on with the rate of the epoch it continues with.

    Raises:
        ConfigError: an argument is unknown, missing or wrong.
    """
    import keras

    rate = scheduler_rate(name, given, where)
    verbose = bool((given or {}).get("verbose"))

    class RateCallback(keras.callbacks.Callback):
        """Sets the learning rate of every epoch."""

        def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            value = rate(epoch)
            model: Any = self.model
            model.optimizer.learning_rate = value
            if verbose:
                log.info("epoch %d: %s sets the learning rate to %.4e", epoch + 1, name, value)

    return RateCallback()


def callback_problems(name: str, given: Mapping[str, Any] | None, where: str) -> list[str]:
    """A line for everything wrong with the callback `name` at `where`, as far as this module knows without Keras."""
    given = given or {}
    try:
        refuse(name, given, where)
        if name in SCHEDULERS:
            return scheduler_problems(name, given, where)
        if name == "ModelCheckpoint":
            _checkpoint(given, where)
        elif name in CALLBACK_STATE:
            _monitor(given, where)
    except ConfigError as error:
        return [str(error)]
    return []


def refuse(name: str, given: Mapping[str, Any], where: str) -> None:
    """ConfigError where a callback cannot be asked for, and says what there is instead."""
    if name in _REFUSED:
        raise ConfigError(f"{where}: {_REFUSED[name]}")
    for argument, value in given.items():
        if isinstance(value, str) and value.strip().startswith("lambda"):
            raise ConfigError(
                f"{where}.{argument}: text is never run as code; for the learning rate write a schedule, such as "
                "training.callbacks.LRCosineDecay or training.optimizer.Adam.learning_rate: {ExponentialDecay: {...}}"
            )


def _checkpoint(given: Mapping[str, Any], where: str) -> Monitor:
    for argument in given:
        if argument not in ("monitor", "mode"):
            raise ConfigError(
                f"{where}.{argument}: only monitor and mode can be set (best and last model are always kept in "
                f"saved_models_dir){did_you_mean(argument, ('monitor', 'mode'))}"
            )
    return _monitor(given, where)


def _monitor(given: Mapping[str, Any], where: str) -> Monitor:
    name = given.get("monitor", "val_loss")
    if name not in MONITORS:
        raise ConfigError(
            f"{where}.monitor: got {name!r}; allowed: {', '.join(MONITORS)}{did_you_mean(name, MONITORS)}"
        )
    mode = given.get("mode", "auto")
    if mode not in ("auto", "min", "max"):
        raise ConfigError(
            f"{where}.mode: got {mode!r}; allowed: auto, min, max{did_you_mean(mode, ('auto', 'min', 'max'))}"
        )
    natural = MONITORS[name]
    if mode not in ("auto", natural):
        log.warning("%s.mode: %s is better when it is %simal, the configuration says %s", where, name, natural, mode)
    return Monitor(name, natural if mode == "auto" else mode)
