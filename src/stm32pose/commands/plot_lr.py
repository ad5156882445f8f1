"""`stm32pose plot-lr`: the learning rate of a configuration, drawn without training."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.commands.keras_names import check_classes, signature
from stm32pose.commands.run import complain
from stm32pose.commands.tables import show_table
from stm32pose.commands.validate import quiet
from stm32pose.config.load import load_file
from stm32pose.config.schema import Config
from stm32pose.config.suffixes import suffix_of
from stm32pose.errors import ConfigError, UserError, first_line
from stm32pose.reporting.console import say
from stm32pose.training.optimizers import one_schedule
from stm32pose.training.schedules import SCHEDULERS
from stm32pose.training.schedules_arguments import read_arguments
from stm32pose.training.schedules_curve import Curve, asks_keras, in_steps, steps_per_epoch, training_curve
from stm32pose.training.schedules_steps import STEP_SCHEDULES

if TYPE_CHECKING:
    from stm32pose.config.model_sections import Training

FIGURE = Path("lr.png")
OPTION = "--steps-per-epoch"
DRAWN = (".png", ".svg", ".pdf")
MOST_ROWS = 20
# Schedules of Keras that end after `decay_steps`.
WITH_END = ("CosineDecay", "PolynomialDecay", "CosineDecayRestarts")
# Learning rates nearer to each other than this share are the same.
SAME = 1e-9


def plot_lr(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    out: Path | None = None,
    as_json: bool = False,
    steps: int | None = None,
) -> int:
    """Draw the learning rate of a configuration's training and print where it changes; returns 0.

    Args:
        path: the YAML file.
        overrides: `key=value` that take the place of the file's.
        out: of the PNG; None: `lr.png` here, and none with `as_json`.
        as_json: print the curve for programs instead.
        steps: optimizer steps an epoch; None: counted from the labels where a schedule is in steps.

    Raises:
        ConfigError: the configuration is wrong, trains nothing, or its rate depends on how the training goes.
        UserError: the labels that a schedule in steps needs cannot be read, or the figure cannot be written.
    """
    if steps is not None and steps < 1:
        raise ConfigError(f"{OPTION}: got {steps}; 1 or more is needed")
    with quiet():
        config = load_file(path, overrides, check_paths=False)
    training = config.training
    if out is not None and suffix_of(out) not in DRAWN:
        raise ConfigError(f"--out: got {out}; a name that ends in {', '.join(DRAWN)} is needed")
    if out is not None and not out.parent.exists():
        raise ConfigError(f"--out: got {out}; the folder {out.parent} does not exist")
    if training is None:
        raise ConfigError(f"{path}: has no section training, so there is no learning rate to draw")
    check_classes(config)
    if steps is None and in_steps(training):
        steps = counted_steps(config, training)
    if asks_keras(training):
        _import_keras()
    curve = training_curve(training, steps=steps, default=_default_rate(training))
    unreached = not_reached(training, steps)
    if unreached:
        complain(f"WARNING: {curve.source}: {unreached}")
    target = out if out is not None or as_json else FIGURE
    if target is not None:
        _draw(curve, target)
    if as_json:
        sys.stdout.write(json.dumps(as_dict(curve, target)) + "\n")
    else:
        _show(curve, target)
    return 0


def counted_steps(config: Config, training: Training) -> int:
    """Optimizer steps an epoch, from the labelled training images. UserError, ConfigError: they cannot be read."""
    from stm32pose.data.splits import make_splits
    from stm32pose.skeletons.skeleton import resolve_skeleton

    try:
        with quiet():
            images = len(make_splits(config.dataset, resolve_skeleton(config.dataset), {"training"}).training)
    except UserError as error:
        hint = f"; a schedule in steps needs the number of images, or {OPTION} N"
        raise type(error)(f"{error}{hint}") from error
    return steps_per_epoch(training, images)


def not_reached(training: Training, steps: int | None) -> str:
    """`30 of its 60 epochs are not reached`: what the schedule of a training still has when that ends; else nothing.

    Args:
        training: the section, whose schedule is right.
        steps: optimizer steps an epoch, where a schedule is in steps.
    """
    for name, given in training.callbacks.items():
        if name in SCHEDULERS:
            return _left_over(read_arguments(SCHEDULERS[name].written, given, name), training.epochs, "epochs")
    for given in training.optimizer.values():
        rate = (given or {}).get("learning_rate")
        # A dry run is shorter than what it stands for.
        if isinstance(rate, Mapping) and steps is not None and training.dryrun is None:
            name, arguments = one_schedule(rate, "training.optimizer")
            if name in STEP_SCHEDULES or name in WITH_END:
                return _left_over(arguments, training.epochs * steps, "steps")
    return ""


def _left_over(arguments: Mapping[str, Any], length: int, unit: str) -> str:
    boundaries = arguments.get("boundaries")
    if isinstance(boundaries, list | tuple):
        missed = sum(bound >= length for bound in boundaries)
        if not missed:
            return ""
        return f"{missed} of its {len(boundaries)} boundaries are not reached; the training has {length} {unit}"
    parts = [arguments.get(part) for part in ("warmup_steps", "hold_steps", "decay_steps", "first_decay_steps")]
    total = sum(part for part in parts if isinstance(part, int))
    # Without a decay there is no end to miss.
    ends = isinstance(parts[2], int) or isinstance(parts[3], int)
    if not ends or total <= length:
        return ""
    return f"{total - length} of its {total} {unit} are not reached; the training has {length} {unit}"


def as_dict(curve: Curve, figure: Path | None) -> dict[str, object]:
    """The curve for programs: `learning_rate` one number an epoch; `steps` and `step_learning_rate` of one in steps."""
    rate, epoch = curve.highest
    found: dict[str, object] = {
        "source": curve.source,
        "epochs": len(curve.epochs),
        "steps_per_epoch": curve.steps,
        "first": curve.first,
        "highest": rate,
        "highest_epoch": epoch,
        "last": curve.last,
        "learning_rate": curve.epochs.tolist(),
        "figure": None if figure is None else str(figure),
    }
    if curve.points is not None:
        found |= {"steps": curve.points[0].tolist(), "step_learning_rate": curve.points[1].tolist()}
    return found


def stretches(rates: np.ndarray) -> list[tuple[int, int, str]]:
    """(first epoch, last epoch, both from 1; `constant`, `falls` or `rises`) of a curve, float64 [E].

    Epochs of one value belong together; of the others a new stretch begins where the direction turns, so that a restart
    is the first epoch of its period. An epoch that stays alone is constant.
    """
    found: list[tuple[int, int, str]] = []
    for first, last in _equal(rates.tolist()):
        begin, end, kind = found[-1] if found else (0, 0, "")
        move = "constant" if first < last or not found else "rises" if rates[first - 1] > rates[first - 2] else "falls"
        # One epoch alone has no direction of its own: what follows gives it one.
        if first == last and found and (kind == move or begin == end):
            found[-1] = (begin, last, move)
        else:
            found.append((first, last, move))
    # What begins and ends with the same epoch neither falls nor rises.
    return [(begin, end, "constant" if begin == end else kind) for begin, end, kind in found]


def _equal(rates: Sequence[float]) -> list[tuple[int, int]]:
    """First and last place, from 1, of every run of equal rates."""
    begins = [0, *(i for i in range(1, len(rates)) if abs(rates[i] - rates[i - 1]) > SAME * max(rates[i - 1 : i + 1]))]
    return [(begin + 1, end) for begin, end in pairwise([*begins, len(rates)])]


def _draw(curve: Curve, path: Path) -> None:
    from stm32pose.reporting.schedule_figure import learning_rate_chart

    try:
        learning_rate_chart(
            curve.epochs, path, title=curve.source, steps=curve.steps, points=curve.points, flat=curve.flat
        )
    except OSError as error:
        raise UserError(f"--out: {path} cannot be written ({first_line(error)})") from error


def _show(curve: Curve, figure: Path | None) -> None:
    rate, epoch = curve.highest
    say(
        f"{curve.source}: first {curve.first:.4g}, highest {rate:.4g} (epoch {epoch}), last {curve.last:.4g}, "
        f"{len(curve.epochs)} epochs" + (f" of {curve.steps} steps" if curve.steps is not None else "")
    )
    rows = [
        (
            f"{first}" if first == last else f"{first}-{last}",
            kind,
            f"{curve.epochs[first - 1]:.4g}",
            f"{curve.epochs[last - 1]:.4g}",
        )
        for first, last, kind in stretches(curve.epochs)
    ]
    show_table(("epochs", "learning rate", "from", "to"), rows[:MOST_ROWS], right=("from", "to"))
    if len(rows) > MOST_ROWS:
        say(f"and {len(rows) - MOST_ROWS} stretches more (--json has every epoch)")
    if figure is not None:
        say(f"{figure}")


def _default_rate(training: Training) -> float:
    """The learning rate of Keras's optimizer where the configuration writes none."""
    name = next(iter(training.optimizer))
    found = signature("optimizers", name)
    rate = found.defaults.get("learning_rate") if found else None
    if not isinstance(rate, int | float):
        raise ConfigError(f"training.optimizer.{name}: learning_rate is needed to draw it")
    return float(rate)


def _import_keras() -> None:
    from stm32pose.inference.quiet import quiet_streams

    # TensorFlow greets with a dozen lines, some of them before it reads any setting.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_streams():
        import tensorflow  # noqa: F401
