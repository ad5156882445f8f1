"""Names and arguments of Keras classes, read from the installed package's files without importing it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stm32pose.config.schema import Config
from stm32pose.errors import ConfigError, did_you_mean
from stm32pose.training.arguments import FILLED, check_value
from stm32pose.training.callbacks import CALLBACK_STATE, callback_problems
from stm32pose.training.optimizers import check_rate, has_schedule, one_schedule
from stm32pose.training.schedules import SCHEDULERS, too_many
from stm32pose.training.schedules_keras import keras_schedule_problems
from stm32pose.training.schedules_steps import STEP_SCHEDULES, step_schedule_problems

# Public names of Keras that a configuration cannot ask for by themselves.
_NOT_ALONE = {
    *("Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap"),
    *("Callback", "CallbackList", "LearningRateSchedule"),
}
# Arguments of Keras that the program sets.
_HIDDEN = {"name"}
# Checked elsewhere: a number or a schedule.
_RATE = "learning_rate"
# Names beside those of Keras.
_OWN = {"callback": tuple(SCHEDULERS), "schedule": tuple(STEP_SCHEDULES)}
# Arguments of older releases of Keras, and what to write today.
_OLD = {"lr": "learning_rate", "decay": "learning_rate: {InverseTimeDecay: {...}}"}


@dataclass(frozen=True)
class Signature:
    """Arguments of a class: those a configuration may set, those of them that it must set, and the defaults that are
    plain values."""

    allowed: tuple[str, ...]
    required: tuple[str, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)


def check_classes(config: Config) -> None:
    """Check names, arguments and types of values of optimizer, schedules and callbacks against the installed Keras.

    Ranges that only Keras knows (`SGD.momentum` up to 1) are checked when `stm32pose.training` constructs the classes:
    importing Keras takes seconds.

    Raises:
        ConfigError: every name, argument or value that is wrong, one a line.
    """
    training = config.training
    if training is None:
        return
    lines = []
    for name, arguments in training.optimizer.items():
        lines += _class_lines("optimizer", "optimizers", name, arguments, "training.optimizer")
        lines += _rate_lines(arguments.get(_RATE), training.epochs, f"training.optimizer.{name}.{_RATE}")
    where = "training.callbacks"
    lines += too_many(training.callbacks, schedule=has_schedule(training.optimizer), where=where)
    for name, arguments in training.callbacks.items():
        problems = callback_problems(name, arguments, f"{where}.{name}")
        if name in CALLBACK_STATE or not (problems or name in SCHEDULERS):
            problems += _class_lines("callback", "callbacks", name, arguments, where)
        lines += problems
    if lines:
        raise ConfigError("\n".join(lines))


@cache
def class_names(module: str) -> tuple[str, ...]:
    """Classes of `keras.<module>`, sorted; empty where Keras is not installed or laid out otherwise."""
    found = _imports(f"keras.{module}")
    return tuple(sorted(name for name in found if name[:1].isupper() and name not in _NOT_ALONE))


@cache
def signature(module: str, name: str) -> Signature | None:
    """Arguments of the class `keras.<module>.<name>`; None where its file cannot tell."""
    place = _imports(f"keras.{module}").get(name)
    arguments = _arguments(*place) if place else None
    if arguments is None:
        return None
    usable = {key: default for key, default in arguments.items() if key not in _HIDDEN}
    required = tuple(key for key, default in usable.items() if default is None)
    return Signature(tuple(usable), required, dict(_plain_values(usable)))


def _plain_values(defaults: Mapping[str, ast.expr | None]) -> Iterator[tuple[str, Any]]:
    for key, default in defaults.items():
        if default is not None:
            try:
                yield key, ast.literal_eval(default)
            except ValueError:  # a function or a name of Keras
                continue


def _rate_lines(value: Any, epochs: int, where: str) -> Iterator[str]:
    """What is wrong with a learning rate: a number or a schedule; None: Keras's own default."""
    try:
        if value is None:
            return
        if not isinstance(value, Mapping):
            check_rate(value, where)
            return
        name, given = one_schedule(value, where)
    except ConfigError as error:
        yield str(error)
        return
    if name in STEP_SCHEDULES:
        yield from step_schedule_problems(name, given, f"{where}.{name}", epochs=epochs)
    else:
        lines = [*_class_lines("schedule", "optimizers.schedules", name, given, where)]
        yield from lines or keras_schedule_problems(given, f"{where}.{name}")


def _class_lines(kind: str, module: str, name: str, given: Any, where: str) -> Iterator[str]:
    known = class_names(module)
    if not known:
        return
    known = sorted({*known, *_OWN.get(kind, ())})
    if name not in known:
        yield f"{where}: unknown {kind} '{name}'; allowed: {', '.join(known)}{did_you_mean(name, known)}"
        return
    found = signature(module, name)
    if found is None or not isinstance(given, Mapping):
        return
    allowed = found.allowed
    for key, value in given.items():
        if key in allowed:
            yield from _value_lines(found, key, value, f"{where}.{name}.{key}")
        else:
            names = ", ".join(allowed) or "none"
            near = f"; write {_OLD[key]}" if kind == "optimizer" and key in _OLD else did_you_mean(key, allowed)
            yield f"{where}.{name}.{key}: unknown argument; allowed: {names}{near}"
    for key in found.required:
        # Callbacks that need an argument need a function: the run refuses them, and says what to take instead.
        if key not in given and key not in FILLED and kind != "callback":
            yield f"{where}.{name}: argument '{key}' is missing"


def _value_lines(found: Signature, key: str, value: Any, where: str) -> Iterator[str]:
    if key == _RATE:
        return
    default = inspect.Parameter.empty if key in found.required else found.defaults.get(key)
    try:
        check_value(value, key, default, where=where)
    except ConfigError as error:
        yield str(error)


def _arguments(module: str, name: str) -> dict[str, ast.expr | None] | None:
    """Argument -> its default, None where it has none, of `__init__` of a class or of the nearest base that has one.

    Arguments that only `**kwargs` would take are not among them: Keras 3 refuses those.
    """
    tree = _tree(module)
    if tree is None:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == name:
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                    return _of_function(item.args)
            bases = [_base(module, base) for base in node.bases]
            found = (_arguments(*base) for base in bases if base)
            return next((arguments for arguments in found if arguments is not None), {} if not bases else None)
    place = _imports(module).get(name)
    return _arguments(*place) if place else None


def _of_function(arguments: ast.arguments) -> dict[str, ast.expr | None]:
    named = [*arguments.posonlyargs, *arguments.args][1:]
    bare = len(named) - len(arguments.defaults)
    defaults = [*[None] * bare, *arguments.defaults]
    found = {argument.arg: default for argument, default in zip(named, defaults, strict=True)}
    both = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return found | {argument.arg: default for argument, default in both}


def _base(module: str, base: ast.expr) -> tuple[str, str] | None:
    """(module, name) of a base class written `Name` or `module.Name`."""
    imports = _imports(module)
    if isinstance(base, ast.Name):
        return imports.get(base.id, (module, base.id))
    if isinstance(base, ast.Attribute) and isinstance(base.value, ast.Name) and base.value.id in imports:
        return ".".join(imports[base.value.id]), base.attr
    return None


@cache
def _imports(module: str) -> dict[str, tuple[str, str]]:
    """Name in a module -> (module it comes from, its name there)."""
    tree = _tree(module)
    nodes = [node for node in tree.body if isinstance(node, ast.ImportFrom)] if tree else []
    return {alias.asname or alias.name: (node.module or "", alias.name) for node in nodes for alias in node.names}


@cache
def _tree(module: str) -> ast.Module | None:
    """A module of Keras, parsed; None where its file is not there."""
    spec = find_spec("keras")
    first, *parts = module.split(".")
    if spec is None or spec.origin is None or first != "keras":
        return None
    path = Path(spec.origin).parent.joinpath(*parts)
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return None
