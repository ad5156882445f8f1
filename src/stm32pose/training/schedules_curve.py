"""The learning rate of a whole training, from its configuration alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.errors import ConfigError
from stm32pose.training.optimizers import build_rate, check_rate, one_schedule, scalar
from stm32pose.training.schedules import SCHEDULERS, scheduler_rate, too_many
from stm32pose.training.schedules_steps import STEP_SCHEDULES, Pieces, step_schedule

if TYPE_CHECKING:
    from stm32pose.config.model_sections import Training

MOST_POINTS = 2000
"""Steps of a schedule of Keras that are looked at; each is a call into TensorFlow."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A learning rate over a training of E epochs.

    Attributes:
        source: what sets it, `training.callbacks.LRCosineDecay`.
        epochs: float64 [E], the rate of the last step of each epoch: what the history records.
        steps: steps an epoch; None where they are not known.
        points: (steps from 0, int64 [P]; rates, float64 [P]) of a schedule in steps, None of one in epochs.
        flat: whether the rate stays the same between two points.
    """

    source: str
    epochs: np.ndarray
    steps: int | None
    points: tuple[np.ndarray, np.ndarray] | None = None
    flat: bool = True

    @property
    def first(self) -> float:
        """The rate of the first step."""
        return float(self.epochs[0] if self.points is None else self.points[1][0])

    @property
    def last(self) -> float:
        """The rate of the last step."""
        return float(self.epochs[-1])

    @property
    def highest(self) -> tuple[float, int]:
        """(the highest rate, the epoch from 1 in which it is first reached)."""
        if self.points is None or self.steps is None:
            return float(self.epochs.max()), int(self.epochs.argmax()) + 1
        steps, rates = self.points
        return float(rates.max()), int(steps[rates.argmax()]) // self.steps + 1


def in_steps(training: Training) -> bool:
    """Whether the learning rate is a schedule in steps, which only a training of known length has."""
    _, given = _optimizer(training)
    return isinstance(given.get("learning_rate"), Mapping)


def asks_keras(training: Training) -> bool:
    """Whether the curve is that of a class of Keras, whose import takes seconds."""
    _, given = _optimizer(training)
    rate = given.get("learning_rate")
    return isinstance(rate, Mapping) and not set(rate) <= set(STEP_SCHEDULES)


def steps_per_epoch(training: Training, images: int) -> int:
    """Optimizer steps an epoch, with `images` for training; as `stm32pose.training.sources` has them."""
    if training.overfit:
        from stm32pose.training.sources import OVERFIT_STEPS

        first = min(training.overfit, images)
        images = first * max(1, -(-OVERFIT_STEPS * training.batch_size // first))
    steps = -(-images // training.batch_size)
    return min(training.dryrun or steps, steps)


def training_curve(training: Training, *, steps: int | None, default: float) -> Curve:
    """The learning rate of a training, without training.

    Args:
        training: the section.
        steps: optimizer steps an epoch; None: not known.
        default: learning rate of the optimizer where none is written.

    Raises:
        ConfigError: the rate depends on what comes out of the training, two schedules are given, an argument is wrong,
            or a schedule in steps meets no `steps`.
    """
    where = "training.callbacks"
    lines = too_many(training.callbacks, schedule=in_steps(training), where=where)
    if lines:
        raise ConfigError(lines[0])
    for name, given in training.callbacks.items():
        if name == "ReduceLROnPlateau":
            raise ConfigError(
                f"{where}.{name}: the learning rate depends on how the training goes; there is no curve before it"
            )
        if name in SCHEDULERS:
            rate = scheduler_rate(name, given, f"{where}.{name}")
            return Curve(f"{where}.{name}", np.array([rate(epoch) for epoch in range(training.epochs)]), steps)
    name, given = _optimizer(training)
    where, value = f"training.optimizer.{name}.learning_rate", given.get("learning_rate")
    if not isinstance(value, Mapping):
        rate = default if value is None else check_rate(value, where)
        return Curve(where, np.full(training.epochs, rate), steps)
    kind, arguments = one_schedule(value, where)
    if steps is None:
        raise ConfigError(f"{where}.{kind}: a schedule in steps needs the number of steps an epoch")
    total, dry = steps * training.epochs, training.dryrun is not None
    if kind in STEP_SCHEDULES:
        pieces = step_schedule(kind, arguments, f"{where}.{kind}", steps=total, epochs=training.epochs, dry=dry)
        return _of_pieces(pieces, training.epochs, steps, f"{where}.{kind}")
    schedule = build_rate(value, total, training.epochs, where, dry=dry)
    places = _places(training.epochs, steps)
    rates = np.array([scalar(schedule(int(place))) for place in places])
    last = np.searchsorted(places, steps * np.arange(1, training.epochs + 1) - 1)
    return Curve(f"{where}.{kind}", rates[last], steps, (places, rates), flat=False)


def _of_pieces(pieces: Pieces, epochs: int, steps: int, source: str) -> Curve:
    inside = [bound for bound in pieces.boundaries if 0 < bound < epochs * steps]
    places = np.unique([0, *inside])
    rates = np.array([pieces.rate(int(place)) for place in places])
    ends = steps * np.arange(1, epochs + 1) - 1
    return Curve(source, np.array([pieces.rate(int(end)) for end in ends]), steps, (places, rates))


def _places(epochs: int, steps: int) -> np.ndarray:
    """The steps to look at: the last one of every epoch, and some between."""
    total = epochs * steps
    ends = steps * np.arange(1, epochs + 1) - 1
    return np.unique(np.concatenate([np.linspace(0, total - 1, min(total, MOST_POINTS)).astype(np.int64), ends]))


def _optimizer(training: Training) -> tuple[str, Mapping[str, Any]]:
    name, given = next(iter(training.optimizer.items()))
    return name, given or {}
