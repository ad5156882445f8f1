"""A function of the user's own, named `FILE.py:FUNCTION` in a configuration. The file is trusted code and is run."""

from __future__ import annotations

import importlib.util
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stm32pose.errors import ConfigError, UserError, did_you_mean, one_line

log = logging.getLogger(__name__)


def is_own_function(name: str) -> bool:
    """Whether `name` reads FILE.py:FUNCTION (or FILE.py, its function forgotten)."""
    return name.rpartition(":")[0].endswith(".py") or name.endswith(".py")


def find_own_file(name: str, *, where: str) -> tuple[Path, str]:
    """The file and the function's name of `FILE.py:FUNCTION`; the file is there, nothing is run.

    Raises ConfigError.
    """
    file, _, function = name.rpartition(":")
    if not file.endswith(".py") or not function:
        raise ConfigError(f"{where}: got '{name}', the function is missing: write {name.rstrip(':')}:FUNCTION")
    path = Path(file).expanduser()
    if not path.is_file():
        raise ConfigError(f"{where}: no file '{file}'")
    return path, function


def line_of(error: BaseException, name: str) -> str:
    """` in line 13` of the file of `FILE.py:FUNCTION` where an error passed last; nothing where it never was there."""
    file = Path(name.rpartition(":")[0]).name
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).name == file]
    return f" in line {lines[-1]}" if lines else ""


def load_own_function(name: str, *, where: str) -> Callable[..., Any]:
    """The function of `FILE.py:FUNCTION`. The file is executed, which is logged as a warning.

    Raises ConfigError when the file or the function is missing, UserError when the file fails while it is executed.
    """
    path, function = find_own_file(name, where=where)
    file = name.rpartition(":")[0]
    spec = importlib.util.spec_from_file_location(f"stm32pose_own_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{where}: '{file}' is not a Python file")
    log.warning("%s: running %s, code of yours that is trusted", where, path.resolve())
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's code raises
        raise UserError(f"{where}: '{file}' fails when it is run: {one_line(error)}") from error
    found = getattr(module, function, None)
    if not callable(found):
        functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(
            f"{where}: '{file}' has no function '{function}', it has {', '.join(functions) or 'none'}"
            f"{did_you_mean(function, functions)}"
        )
    return found
