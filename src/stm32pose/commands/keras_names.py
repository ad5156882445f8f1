"""Names of Keras classes, read from the installed package's files without importing it."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from stm32pose.config.schema import Config
from stm32pose.errors import ConfigError, did_you_mean

# Public names of keras.optimizers and keras.callbacks that a configuration cannot ask for by themselves.
_NOT_ALONE = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap", "Callback", "CallbackList"}


def check_class_names(config: Config) -> None:
    """Raise ConfigError where `training.optimizer` or `training.callbacks` names no class of the installed Keras.

    What is checked here is only the name, because importing Keras takes seconds; arguments are checked by
    `stm32pose.training` when it constructs the classes.
    """
    if config.training is None:
        return
    lines = []
    for kind, module, names in (
        ("optimizer", "optimizers", config.training.optimizer),
        ("callback", "callbacks", config.training.callbacks),
    ):
        known = class_names(module)
        where = "training.optimizer" if kind == "optimizer" else "training.callbacks"
        for name in names if known else ():
            if name not in known:
                lines.append(
                    f"{where}: unknown {kind} '{name}'; allowed: {', '.join(known)}{did_you_mean(name, known)}"
                )
    if lines:
        raise ConfigError("\n".join(lines))


@cache
def class_names(module: str) -> tuple[str, ...]:
    """Classes of `keras.<module>`, sorted; empty where Keras is not installed or laid out otherwise."""
    spec = find_spec("keras")
    if spec is None or spec.origin is None:
        return ()
    try:
        tree = ast.parse(Path(spec.origin).parent.joinpath(module, "__init__.py").read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return ()
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    names = {alias.asname or alias.name for node in imports for alias in node.names}
    return tuple(sorted(name for name in names if name[:1].isupper() and name not in _NOT_ALONE))
