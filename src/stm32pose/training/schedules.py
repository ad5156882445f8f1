"""ST's nine learning-rate schedulers as pure functions of the epoch, and the table of their names and arguments.

One law for all of them (docs/schedules.md has the table of what ST's releases do instead): the first epoch runs at the
rate that the schedule begins with; a hold phase lasts `hold_steps` epochs; hold and decay together last
`hold_steps + decay_steps` epochs, the last of which runs at `end_lr`. Epochs are counted from 0 in this module.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stm32pose.errors import ConfigError, did_you_mean
from stm32pose.training import schedules_st as st
from stm32pose.training.schedules_arguments import Argument, argument_problems, read_arguments


def linear(epoch: int, *, initial_lr: float, hold_steps: int, decay_steps: int, end_lr: float) -> float:
    """initial + (end - initial) p, p the share of the decay that is done."""
    return initial_lr + (end_lr - initial_lr) * _share(epoch, hold_steps, decay_steps)


def exponential(epoch: int, *, initial_lr: float, hold_steps: int, decay_rate: float, min_lr: float) -> float:
    """initial exp(-decay_rate n), n epochs after the last one of the hold phase; never below `min_lr`."""
    return max(min_lr, initial_lr * math.exp(-decay_rate * max(0, epoch - max(hold_steps, 1) + 1)))


def step(epoch: int, *, initial_lr: float, step_size: int, decay_rate: float, min_lr: float) -> float:
    """initial decay_rate^n after n whole steps of `step_size` epochs; never below `min_lr`."""
    return max(min_lr, initial_lr * decay_rate ** (epoch // step_size))


def cosine(epoch: int, *, initial_lr: float, hold_steps: int, decay_steps: int, end_lr: float) -> float:
    """end + (initial - end) (1 + cos(pi p)) / 2, p the share of the decay that is done."""
    return _half_cosine(_share(epoch, hold_steps, decay_steps), initial_lr, end_lr)


def warmup_cosine(
    epoch: int,
    *,
    initial_lr: float,
    warmup_steps: int,
    max_lr: float,
    hold_steps: int,
    decay_steps: int,
    end_lr: float,
) -> float:
    """A line from `initial_lr` over `warmup_steps` epochs, the next one at `max_lr`; then as `cosine` from there."""
    if epoch < warmup_steps:
        return initial_lr + (max_lr - initial_lr) * epoch / warmup_steps
    return cosine(
        epoch - warmup_steps, initial_lr=max_lr, hold_steps=hold_steps, decay_steps=decay_steps, end_lr=end_lr
    )


def cosine_restarts(
    epoch: int, *, initial_lr: float, first_decay_steps: int, end_lr: float, t_mul: float, m_mul: float
) -> float:
    """Period i (from 0) begins at initial m_mul^i and takes first_decay_steps t_mul^i epochs of half a cosine.

    The epoch that would reach `end_lr` is the restart. A period that would begin below `end_lr` stays there. Source:
    Loshchilov & Hutter, SGDR (ICLR 2017), equation 5 with T_cur counted in epochs.
    """
    begin, length, start = 0.0, float(first_decay_steps), initial_lr
    while epoch >= begin + length:
        begin, length, start = begin + length, length * t_mul, start * m_mul
    return _half_cosine((epoch - begin) / length, max(start, end_lr), end_lr)


def polynomial(
    epoch: int, *, initial_lr: float, hold_steps: int, decay_steps: int, end_lr: float, power: float
) -> float:
    """end + (initial - end) (1 - p)^power, p the share of the decay that is done."""
    return end_lr + (initial_lr - end_lr) * (1 - _share(epoch, hold_steps, decay_steps)) ** power


def polynomial_restarts(
    epoch: int, *, initial_lr: float, hold_steps: int, decay_steps: int, end_lr: float, power: float
) -> float:
    """As `polynomial`, begun anew at `initial_lr` after every `decay_steps` epochs of decay."""
    after = epoch - hold_steps - decay_steps
    if after >= 0:
        epoch, hold_steps = after % decay_steps, 0
    return polynomial(
        epoch,
        initial_lr=initial_lr,
        hold_steps=hold_steps,
        decay_steps=decay_steps,
        end_lr=end_lr,
        power=power,
    )


def piecewise(epoch: int, *, boundaries: Sequence[int], values: Sequence[float]) -> float:
    """values[i] where i boundaries are at or before the epoch."""
    return values[sum(bound <= epoch for bound in boundaries)]


def _share(epoch: int, hold_steps: int, decay_steps: int) -> float:
    """The share of the decay that is done, 0 to 1: 0 up to the last epoch of hold, 1 at epoch hold + decay - 1.

    Without a hold phase the first of the `decay_steps` epochs is the one at 0.
    """
    held = max(hold_steps, 1)
    epochs = hold_steps + decay_steps - held
    done = epoch - held + 1
    return 0.0 if done <= 0 else 1.0 if done >= epochs else done / epochs


def _half_cosine(share: float, start: float, end: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


@dataclass(frozen=True)
class Scheduler:
    """A schedule in epochs.

    Attributes:
        arguments: of `rate` and of `st`, without `compat` and `verbose`.
        rate: (epoch from 0, **arguments) -> learning rate.
        st: the same as ST's releases compute it.
    """

    arguments: Mapping[str, Argument]
    rate: Callable[..., float]
    st: Callable[..., float]

    @property
    def written(self) -> dict[str, Argument]:
        """Arguments of a configuration."""
        return {**self.arguments, **_COMMON}


_COMMON = {
    "verbose": Argument("flag", default=False),
    "compat": Argument("choice", default=None, choices=("st",)),
}
_RATE = Argument("number", open=True)
_END = Argument("number")
_FLOOR = Argument("number", default=0.0)
_HOLD = Argument("whole")
_EPOCHS = Argument("whole", least=1)
_SHARE = Argument("number", most=1.0, open=True)
_DECAY = {"initial_lr": _RATE, "hold_steps": _HOLD, "decay_steps": _EPOCHS, "end_lr": _END}

SCHEDULERS: dict[str, Scheduler] = {
    "LRLinearDecay": Scheduler(_DECAY, linear, st.linear),
    "LRExponentialDecay": Scheduler(
        {"initial_lr": _RATE, "hold_steps": _HOLD, "decay_rate": _END, "min_lr": _FLOOR}, exponential, st.exponential
    ),
    "LRStepDecay": Scheduler(
        {"initial_lr": _RATE, "step_size": _EPOCHS, "decay_rate": _SHARE, "min_lr": _FLOOR}, step, st.step
    ),
    "LRCosineDecay": Scheduler(_DECAY, cosine, st.cosine),
    "LRWarmupCosineDecay": Scheduler(
        {
            "initial_lr": _END,
            "warmup_steps": _HOLD,
            "max_lr": _RATE,
            "hold_steps": _HOLD,
            "decay_steps": _EPOCHS,
            "end_lr": _END,
        },
        warmup_cosine,
        st.warmup_cosine,
    ),
    "LRCosineDecayRestarts": Scheduler(
        {
            "initial_lr": _RATE,
            "first_decay_steps": _EPOCHS,
            "end_lr": _END,
            "t_mul": Argument("number", least=1.0, default=2.0),
            "m_mul": Argument("number", most=1.0, open=True, default=1.0),
        },
        cosine_restarts,
        st.cosine_restarts,
    ),
    "LRPolynomialDecay": Scheduler(
        {**_DECAY, "power": Argument("number", open=True, default=0.5)}, polynomial, st.polynomial
    ),
    "LRPolynomialDecayRestarts": Scheduler(
        {**_DECAY, "power": Argument("number", open=True, default=0.7)}, polynomial_restarts, st.polynomial_restarts
    ),
    "LRPiecewiseConstantDecay": Scheduler(
        {"boundaries": Argument("places", least=1), "values": Argument("numbers", open=True)}, piecewise, st.piecewise
    ),
}
"""Name in `training.callbacks` -> schedule."""

ONE_OF = (*SCHEDULERS, "ReduceLROnPlateau", "LearningRateScheduler")
"""Callbacks that set the learning rate: a training has one at most."""


def scheduler_problems(name: str, given: Any, where: str) -> list[str]:
    """A line for everything that is wrong with the arguments of the scheduler `name`, written at `where`."""
    lines = argument_problems(SCHEDULERS[name].written, given, where)
    if name == "LRPiecewiseConstantDecay" and not lines:
        pieces, values = len(given["boundaries"]) + 1, len(given["values"])
        if pieces != values:
            lines.append(
                f"{where}: got {pieces - 1} boundaries and {values} values; {pieces - 1} boundaries part the training "
                f"into {pieces} pieces, each with its value"
            )
    return lines


def scheduler_rate(name: str, given: Any, where: str) -> Callable[[int], float]:
    """Epoch (from 0) -> learning rate, of the scheduler `name` with the arguments written at `where`.

    Raises:
        ConfigError: the name is no scheduler's, or an argument is unknown, missing or wrong.
    """
    if name not in SCHEDULERS:
        raise ConfigError(f"{where}: no scheduler; allowed: {', '.join(SCHEDULERS)}{did_you_mean(name, SCHEDULERS)}")
    lines = scheduler_problems(name, given, where)
    if lines:
        raise ConfigError("\n".join(lines))
    scheduler = SCHEDULERS[name]
    arguments = read_arguments(scheduler.written, given, where)
    compute = scheduler.st if arguments.pop("compat") == "st" else scheduler.rate
    arguments.pop("verbose")
    return lambda epoch: float(compute(epoch, **arguments))


def too_many(callbacks: Mapping[str, Any], *, schedule: bool, where: str) -> list[str]:
    """A line where more than one of callbacks and optimizer sets the learning rate.

    Args:
        callbacks: section `training.callbacks`.
        schedule: the optimizer's learning rate is a schedule.
        where: of the section.
    """
    found = [name for name in callbacks if name in ONE_OF]
    if len(found) > 1:
        return [f"{where}: got {', '.join(found)}; each sets the learning rate: keep one"]
    if found and schedule:
        return [f"{where}.{found[0]}: the optimizer's learning_rate is a schedule already; keep one of the two"]
    return []
