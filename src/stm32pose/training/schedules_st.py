"""ST's nine learning-rate schedulers with every value as ST's releases compute it (`compat: st`).

Source of the rules: common/training/lr_schedulers.py of ST's services, releases 3.0 to 4.x (docs/schedules.md says what
is odd about each). Epochs are counted from 0. What these give differs from `schedules` on purpose; change nothing here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def linear(epoch: int, *, initial_lr: float, hold_steps: int, decay_steps: int, end_lr: float) -> float:
    """A straight line after the hold phase."""
    if epoch < hold_steps - 1:
        return initial_lr
    if epoch >= hold_steps + decay_steps:
        return end_lr
    return initial_lr + (end_lr - initial_lr) / decay_steps * (epoch - hold_steps + 1)


def exponential(epoch: int, *, initial_lr: float, hold_steps: int, decay_rate: float, min_lr: float) -> float:
    """e to the power of minus `decay_rate` an epoch after the hold phase."""
    if epoch < hold_steps - 1:
        return initial_lr
    return max(min_lr, initial_lr * math.exp(-decay_rate * (epoch - hold_steps + 1)))


def step(epoch: int, *, initial_lr: float, step_size: int, decay_rate: float, min_lr: float) -> float:
    """A stair, whose first tread is an epoch short."""
    return max(min_lr, initial_lr * decay_rate ** ((1 + epoch) // step_size))


def cosine(epoch: int, *, initial_lr: float, hold_steps: int, decay_steps: int, end_lr: float) -> float:
    """Half a cosine after the hold phase."""
    if epoch < hold_steps:
        return initial_lr
    return _half_cosine(min(epoch - hold_steps + 1, decay_steps) / decay_steps, initial_lr, end_lr)


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
    """A line up that jumps at its end, a hold phase two epochs longer than asked for, half a cosine."""
    if epoch < warmup_steps - 1:
        return initial_lr + (max_lr - initial_lr) / warmup_steps * epoch
    if epoch < warmup_steps + hold_steps:
        return max_lr
    return _half_cosine(min(epoch - warmup_steps - hold_steps, decay_steps) / decay_steps, max_lr, end_lr)


def cosine_restarts(
    epoch: int, *, initial_lr: float, first_decay_steps: int, end_lr: float, t_mul: float, m_mul: float
) -> float:
    """Half a cosine again and again; number and start of a period come from a logarithm, which may round down."""
    share = epoch / first_decay_steps
    if t_mul == 1:
        period = math.floor(share)
        share -= period
    else:
        period = math.floor(math.log(1 - share * (1 - t_mul)) / math.log(t_mul))
        share = (share - (1 - t_mul**period) / (1 - t_mul)) / t_mul**period
    return end_lr + (initial_lr - end_lr) * m_mul**period * (1 + math.cos(math.pi * share)) / 2


def polynomial(
    epoch: int, *, initial_lr: float, hold_steps: int, decay_steps: int, end_lr: float, power: float
) -> float:
    """A power of the share that is left after the hold phase."""
    if epoch < hold_steps - 1:
        return initial_lr
    share = min(epoch - hold_steps + 1, decay_steps) / decay_steps
    return end_lr + (initial_lr - end_lr) * (1 - share) ** power


def polynomial_restarts(
    epoch: int, *, initial_lr: float, hold_steps: int, decay_steps: int, end_lr: float, power: float
) -> float:
    """Keras's `cycle`: every restart is lower than the one before, and one epoch into its period already."""
    if epoch < hold_steps - 1:
        return initial_lr
    done = epoch - hold_steps + 1
    share = done / (decay_steps * math.ceil(done / decay_steps)) if done else 0.0
    return end_lr + (initial_lr - end_lr) * (1 - share) ** power


def piecewise(epoch: int, *, boundaries: Sequence[int], values: Sequence[float]) -> float:
    """The value of the first boundary above the epoch, the last value after all of them."""
    return next((value for bound, value in zip(boundaries, values, strict=False) if bound > epoch), values[-1])


def _half_cosine(share: float, start: float, end: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
