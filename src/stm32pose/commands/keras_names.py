"""Names and arguments of Keras classes, read from the installed package's files without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stm32pose.config.schema import Config
from stm32pose.errors import ConfigError, did_you_mean

# Public names of Keras that a configuration cannot ask for by themselves.
_NOT_ALONE = {
    *("Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap"),
    *("Callback", "CallbackList", "LearningRateSchedule"),
}
# The run keeps the files of these itself and takes only these arguments.
_ONLY = {"ModelCheckpoint": ("monitor", "mode")}
# Arguments of Keras that the program sets.
_HIDDEN = {"name"}
# What the run fills in where it is absent.
_FILLED = {"decay_steps"}
# Arguments of older releases of Keras, and what to write today.
_OLD = {"lr": "learning_rate", "decay": "learning_rate: {InverseTimeDecay: {...}}"}


@dataclass(frozen=True)
class Signature:
    """Arguments of a class: those a configuration may set, and those of them that it must set."""

    allowed: tuple[str, ...]
    required: tuple[str, ...]


def check_classes(config: Config) -> None:
    """Raise ConfigError where optimizer, schedule or callbacks name no class of the installed Keras, or no argument.

    Types and ranges of the values are checked by `stm32pose.training` when it constructs the classes: importing Keras
    takes seconds.
    """
    if config.training is None:
        return
    lines = []
    for name, arguments in config.training.optimizer.items():
        lines += _class_lines("optimizer", "optimizers", name, arguments, "training.optimizer")
        schedule = arguments.get("learning_rate")
        if isinstance(schedule, Mapping):
            for kind, values in schedule.items():
                where = f"training.optimizer.{name}.learning_rate"
                lines += _class_lines("schedule", "optimizers.schedules", kind, values, where)
    for name, arguments in config.training.callbacks.items():
        lines += _class_lines("callback", "callbacks", name, arguments, "training.callbacks")
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
    usable = {key: required for key, required in arguments.items() if key not in _HIDDEN}
    return Signature(tuple(usable), tuple(key for key, required in usable.items() if required))


def _class_lines(kind: str, module: str, name: str, given: Any, where: str) -> Iterator[str]:
    known = class_names(module)
    if not known:
        return
    if name not in known:
        yield f"{where}: unknown {kind} '{name}'; allowed: {', '.join(known)}{did_you_mean(name, known)}"
        return
    found = signature(module, name)
    if found is None or not isinstance(given, Mapping):
        return
    allowed = _ONLY.get(name, found.allowed)
    for key in given:
        if key not in allowed:
            names = ", ".join(allowed) or "none"
            near = f"; write {_OLD[key]}" if kind == "optimizer" and key in _OLD else did_you_mean(key, allowed)
            yield f"{where}.{name}.{key}: unknown argument; allowed: {names}{near}"
    for key in found.required:
        # Callbacks that need an argument need a function: the run refuses them, and says what to take instead.
        if key not in given and key not in _FILLED and kind != "callback":
            yield f"{where}.{name}: argument '{key}' is missing"


def _arguments(module: str, name: str) -> dict[str, bool] | None:
    """Argument -> whether it has no default, of `__init__` of a class or of the nearest base that has one.

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


def _of_function(arguments: ast.arguments) -> dict[str, bool]:
    named = [*arguments.posonlyargs, *arguments.args][1:]
    bare = len(named) - len(arguments.defaults)
    found = {argument.arg: index < bare for index, argument in enumerate(named)}
    both = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return found | {argument.arg: default is None for argument, default in both}


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
