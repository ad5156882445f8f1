"""What Keras takes for a learning-rate schedule without a word, and no training is meant to run with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stm32pose.training.schedules_arguments import Argument

_ARGUMENTS = {
    "initial_learning_rate": Argument("number", open=True),
    "warmup_target": Argument("number", open=True),
    "end_learning_rate": Argument("number"),
    "decay_steps": Argument("whole", least=1),
    "first_decay_steps": Argument("whole", least=1),
    "values": Argument("numbers", open=True),
    "boundaries": Argument("places"),
}
# The first rate of a warm-up may be 0.
_FROM_ZERO = Argument("number")


def keras_schedule_problems(given: Mapping[str, Any], where: str, *, steps: int | None = None) -> list[str]:
    """A line for everything that is out of range in the arguments of a schedule of Keras, written at `where`.

    Args:
        given: arguments, their types checked (`arguments.check_value`).
        where: for messages.
        steps: optimizer steps of the whole training; None: not known yet, or a dry run stands for a longer training.
    """
    lines = []
    for name, argument in _ARGUMENTS.items():
        value = given.get(name)
        if value is None:
            continue
        if name == "initial_learning_rate" and given.get("warmup_target") is not None:
            argument = _FROM_ZERO
        try:
            argument.read(value)
        except ValueError as error:
            lines.append(f"{where}.{name}: got {value!r}; {error}")
    boundaries, values = given.get("boundaries"), given.get("values")
    if boundaries and values and len(values) != len(boundaries) + 1:
        lines.append(
            f"{where}.values: got {len(values)} values and {len(boundaries)} boundaries; {len(boundaries)} boundaries "
            f"part the training into {len(boundaries) + 1} pieces, each with its value"
        )
    warmup = given.get("warmup_steps") or 0
    if steps is not None and warmup >= max(steps, 1):
        lines.append(f"{where}.warmup_steps: got {warmup}; the training has {steps} steps, fewer are needed")
    return lines
