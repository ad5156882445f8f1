"""A user's own network: `FILE.py:FUNCTION`. The file is trusted code and is run."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from stm32pose.errors import ConfigError, UserError, did_you_mean, one_line

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)


def is_own_builder(name: str) -> bool:
    """Whether `name` reads FILE.py:FUNCTION (or FILE.py, its function forgotten)."""
    return name.rpartition(":")[0].endswith(".py") or name.endswith(".py")


def load_builder(name: str, *, where: str = "model.model_name") -> Callable[..., keras.Model]:
    """The function of `FILE.py:FUNCTION`. The file is executed, which is logged as a warning.

    Raises ConfigError when the file or the function is missing, UserError when the file fails while it is executed.
    """
    file, _, function = name.rpartition(":")
    if not file.endswith(".py"):
        raise ConfigError(f"{where}: got '{name}', the function is missing: write {name}:FUNCTION")
    path = Path(file).expanduser()
    if not path.is_file():
        raise ConfigError(f"{where}: no file '{file}'")
    spec = importlib.util.spec_from_file_location(f"stm32pose_own_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{where}: '{file}' is not a Python file")
    log.warning("%s: running %s, code of yours that is trusted", where, path.resolve())
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's code raises
        raise UserError(f"{where}: '{file}' fails when it is run: {one_line(error)}") from error
    builder = getattr(module, function, None)
    if not callable(builder):
        functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(
            f"{where}: '{file}' has no function '{function}', it has {', '.join(functions) or 'none'}"
            f"{did_you_mean(function, functions)}"
        )
    return cast("Callable[..., keras.Model]", builder)


def run_builder(
    builder: Callable[..., keras.Model],
    name: str,
    input_shape: tuple[int, int, int],
    keypoints: int,
    options: dict[str, object],
    *,
    where: str = "model.model_name",
) -> keras.Model:
    """`builder(input_shape, keypoints, **options)`, checked: a keras.Model from `input_shape` to [B, h, w, keypoints].

    Any stride is allowed. Raises UserError.
    """
    import keras

    try:
        network = builder(input_shape, keypoints, **options)
    except Exception as error:  # whatever the user's code raises
        raise UserError(f"{where}: {name}({input_shape}, {keypoints}) fails: {one_line(error)}") from error
    if not isinstance(network, keras.Model):
        raise UserError(f"{where}: {name} returned {type(network).__name__}, it must return a keras.Model")
    if not network.built or len(network.inputs) != 1 or len(network.outputs) != 1:
        raise UserError(f"{where}: {name} must return a functional model with one input and one output")
    got = tuple(network.input_shape[1:])
    if got != tuple(input_shape):
        raise UserError(f"{where}: {name} returned a model with input {got}, model.input_shape is {tuple(input_shape)}")
    output = tuple(network.output_shape[1:])
    if len(output) != 3 or None in output or output[-1] != keypoints:
        raise UserError(
            f"{where}: {name} returned a model with output {output}, it must be (h, w, {keypoints}): a map a keypoint"
        )
    return network
