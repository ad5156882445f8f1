"""Learning-rate schedules in steps that Keras lacks: Blueoil's and HyperPose's, all constant piece by piece.

Steps are optimizer steps counted from 0, n of them an epoch, E epochs. Without `boundaries` a schedule spans the whole
training. Nothing here imports Keras but `keras_schedule`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from stm32pose.errors import ConfigError
from stm32pose.training.schedules_arguments import Argument, argument_problems, read_arguments

if TYPE_CHECKING:
    import keras

# HyperPose lowers its rate at these of its 1,000,000 steps, as shares of the training.
HYPERPOSE_SHARES = (0.2, 0.3, 0.36, 0.42, 0.48, 0.54, 0.6, 0.7, 0.8, 0.9)
HYPERPOSE_FACTOR = 0.666


@dataclass(frozen=True)
class Pieces:
    """A rate that is constant between boundaries.

    Attributes:
        boundaries: the steps at which the next value begins; they never fall.
        values: learning rates, one more than boundaries.
    """

    boundaries: tuple[int, ...]
    values: tuple[float, ...]

    def rate(self, step: int) -> float:
        """The learning rate of optimizer step `step`, from 0."""
        return self.values[sum(bound <= step for bound in self.boundaries)]


def constant(arguments: Mapping[str, Any], _steps: int, _epochs: float) -> Pieces:
    """One rate."""
    return Pieces((), (arguments["initial_learning_rate"],))


def even_steps(count: int) -> Callable[[Mapping[str, Any], int, float], Pieces]:
    """`count` drops: the first E - 1 epochs in equal parts, the last epoch at the lowest rate (Blueoil)."""

    def pieces(arguments: Mapping[str, Any], steps: int, epochs: float) -> Pieces:
        before_last = steps * (epochs - 1) / epochs
        default = [round(before_last * (drop + 1) / count) for drop in range(count)]
        return _drops(arguments, default)

    return pieces


def warmup_three_steps(arguments: Mapping[str, Any], steps: int, epochs: float) -> Pieces:
    """As three even drops, after `warmup_steps` (one epoch) at `warmup_factor` of the rate (Blueoil)."""
    warmup = arguments["warmup_steps"]
    first = round(steps / epochs) if warmup is None else warmup
    rest = even_steps(3)(arguments, steps, epochs)
    begin = (first, *(max(first, bound) for bound in rest.boundaries))
    return Pieces(begin, (rest.values[0] * arguments["warmup_factor"], *rest.values))


def listed_steps(arguments: Mapping[str, Any], steps: int, _epochs: float) -> Pieces:
    """A drop at every step of a list; without one, HyperPose's list at the scale of this training."""
    return _drops(arguments, [round(steps * share) for share in HYPERPOSE_SHARES])


def _drops(arguments: Mapping[str, Any], default: Sequence[int]) -> Pieces:
    boundaries = default if arguments["boundaries"] is None else arguments["boundaries"]
    first, factor = arguments["initial_learning_rate"], arguments["decay_rate"]
    return Pieces(tuple(boundaries), tuple(first * factor**drop for drop in range(len(boundaries) + 1)))


@dataclass(frozen=True)
class StepSchedule:
    """A schedule in steps.

    Attributes:
        arguments: of a configuration.
        pieces: (arguments, steps of the training, epochs of the training) -> the curve.
        drops: how many boundaries must be given, where they are; 0: any number.
        least_epochs: shorter trainings must give their boundaries.
    """

    arguments: Mapping[str, Argument]
    pieces: Callable[[Mapping[str, Any], int, float], Pieces]
    drops: int = 0
    least_epochs: int = 1


def _arguments(decay_rate: float) -> dict[str, Argument]:
    return {
        "initial_learning_rate": Argument("number", open=True),
        "decay_rate": Argument("number", most=1.0, open=True, default=decay_rate),
        "boundaries": Argument("places", least=1, default=None),
    }


STEP_SCHEDULES: dict[str, StepSchedule] = {
    "Constant": StepSchedule({"initial_learning_rate": Argument("number", open=True)}, constant),
    "TwoStepDecay": StepSchedule(_arguments(0.1), even_steps(2), 2, 2),
    "ThreeStepDecay": StepSchedule(_arguments(0.1), even_steps(3), 3, 2),
    "WarmupThreeStepDecay": StepSchedule(
        {
            **_arguments(0.1),
            "warmup_steps": Argument("whole", default=None),
            "warmup_factor": Argument("number", most=1.0, open=True, default=1e-3),
        },
        warmup_three_steps,
        3,
        5,  # with 4 the first drop is at the end of the warm-up, and the full rate would never be used
    ),
    "StepListDecay": StepSchedule(_arguments(HYPERPOSE_FACTOR), listed_steps),
}
"""Name in `training.optimizer.NAME.learning_rate` -> schedule; these are beside those of Keras."""


def step_schedule_problems(
    name: str, given: Any, where: str, *, epochs: int | None = None, steps: int | None = None
) -> list[str]:
    """A line for everything that is wrong with the arguments of the schedule `name`, written at `where`.

    `epochs` and optimizer `steps` of the whole training: None where they are not known yet, or where a dry run stands
    for a longer training.
    """
    schedule = STEP_SCHEDULES[name]
    lines = argument_problems(schedule.arguments, given, where)
    if lines:
        return lines
    values = read_arguments(schedule.arguments, given, where)
    boundaries = values.get("boundaries")
    if boundaries is None:
        if epochs is not None and epochs < schedule.least_epochs:
            lines.append(
                f"{where}: training.epochs is {epochs}; without boundaries (a list of steps) {schedule.least_epochs} "
                "epochs or more are needed"
            )
        elif epochs is not None and steps is not None and values.get("warmup_steps") is not None:
            lines += _warmup_problems(values, steps, epochs, where)
    elif schedule.drops and len(boundaries) != schedule.drops:
        lines.append(f"{where}.boundaries: got {len(boundaries)} steps; {schedule.drops} are needed")
    elif values.get("warmup_steps") is not None and values["warmup_steps"] >= boundaries[0]:
        lines.append(
            f"{where}.warmup_steps: got {values['warmup_steps']}; below boundaries[0], {boundaries[0]}, needed"
        )
    return lines


def _warmup_problems(values: Mapping[str, Any], steps: int, epochs: int, where: str) -> list[str]:
    """A line where the warm-up lasts until the first of the even drops, so that the full rate is never used."""
    warmup, first = values["warmup_steps"], even_steps(3)(values, steps, epochs).boundaries[0]
    if warmup < max(first, 1):
        return []
    return [
        f"{where}.warmup_steps: got {warmup}; the training has {steps} steps and its rate first drops at step {first}: "
        "fewer are needed, or boundaries"
    ]


def step_schedule(
    name: str, given: Any, where: str, *, steps: int, epochs: int | None = None, dry: bool = False
) -> Pieces:
    """The curve of the schedule `name` with the arguments written at `where`.

    Args:
        name: one of STEP_SCHEDULES.
        given: its arguments.
        where: for messages.
        steps: optimizer steps of the whole training.
        epochs: of the whole training; None: not known yet, the curve is a sketch.
        dry: a dry run of a longer training, whose warm-up may be longer than it is.

    Raises:
        ConfigError: the lines of `step_schedule_problems`.
    """
    lines = step_schedule_problems(name, given, where, epochs=epochs, steps=None if dry else steps)
    if lines:
        raise ConfigError("\n".join(lines))
    schedule = STEP_SCHEDULES[name]
    return schedule.pieces(read_arguments(schedule.arguments, given, where), steps, epochs or schedule.least_epochs)


def keras_schedule(pieces: Pieces) -> keras.optimizers.schedules.LearningRateSchedule:
    """The curve as a schedule that an optimizer takes: step, an integer tensor, -> rate, a float32 scalar."""
    return _schedule_class()(pieces.boundaries, pieces.values)


@cache
def _schedule_class() -> type:
    import keras

    class PiecewiseSteps(keras.optimizers.schedules.LearningRateSchedule):
        """values[i] where i boundaries are at or before the step."""

        def __init__(self, boundaries: Sequence[int], values: Sequence[float]):
            self.boundaries, self.values = tuple(boundaries), tuple(values)

        def __call__(self, step):
            ops = keras.ops
            rate = ops.convert_to_tensor(self.values[0], dtype="float32")
            for bound, value in zip(self.boundaries, self.values[1:], strict=True):
                later = ops.greater_equal(ops.cast(step, "int64"), bound)
                rate = ops.where(later, ops.cast(value, "float32"), rate)
            return rate

        def get_config(self) -> dict[str, Any]:
            return {"boundaries": list(self.boundaries), "values": list(self.values)}

    return PiecewiseSteps
