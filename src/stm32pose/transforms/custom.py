"""Augmentations of the user's own, `FILE.py:FUNCTION`, with a keypoint rule that they must declare.

    kind: colour      f(image uint8 [H, W, C], rng, **arguments) -> an image of the same shape and type; nothing moves
    kind: geometry    f((H, W), rng, **arguments) -> 3x3 matrix, input to input in pixels; labels follow it

The kind is an argument in the YAML or an attribute of the function. `rng` is a numpy Generator of its own for each
image, seeded as all augmentations are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from stm32pose.errors import ConfigError, UserError, did_you_mean, one_line
from stm32pose.own_code import find_own_file, line_of, load_own_function
from stm32pose.transforms.arguments import RATE, read_arguments
from stm32pose.transforms.geometry import Size, determinant
from stm32pose.transforms.noise import generator
from stm32pose.transforms.operations import Arguments, Colouring, Geometric, Operation, Steps

COLOUR, GEOMETRY = "colour", "geometry"
KINDS = (COLOUR, GEOMETRY)
_RULE = "has no keypoint rule: say kind: colour (nothing moves) or kind: geometry (it returns the 3x3 matrix)"


def own_augmentation(
    name: str, given: Mapping[str, Any] | None, *, where: str, run_code: bool
) -> tuple[Operation | None, dict[str, Any]]:
    """(operation, arguments) of one entry of `data_augmentation`.

    Args:
        name: FILE.py:FUNCTION.
        given: `kind`, `change_rate`, and whatever the function takes.
        where: the entry's place in the configuration.
        run_code: False looks whether the file is there and runs nothing; the operation is then None.

    Raises:
        ConfigError: file, function or kind are missing or wrong.
        UserError: the file fails when it is run.
        ValueError: the change rate is wrong; its arguments are lines.
    """
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where}: got {given!r}; allowed kind, change_rate and the function's own arguments")
    kind = given.get("kind")
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"{where}.kind: got {kind!r}; allowed {', '.join(KINDS)}{did_you_mean(kind, KINDS)}")
    rate = {key: value for key, value in given.items() if key in RATE}
    arguments = {str(key): value for key, value in given.items() if key not in (*RATE, "kind")}
    read = {**read_arguments(where, rate, RATE), "given": arguments}
    if not run_code:
        find_own_file(name, where=where)
        return None, read
    function = load_own_function(name, where=where)
    declared = getattr(function, "kind", None)
    if declared is not None and declared not in KINDS:
        raise ConfigError(f"{where}: {name}.kind is {declared!r}; allowed {', '.join(KINDS)}")
    if kind and declared and kind != declared:
        raise ConfigError(f"{where}.kind: got {kind!r}, but {name}.kind is {declared!r}; keep one of them")
    kind = kind or declared
    if kind is None:
        raise ConfigError(f"{where}: {name} {_RULE}")
    if kind == COLOUR:
        run = _Recolouring(name, function, arguments, where)
        return Colouring(1, RATE, run.steps, bound=True), read
    return Geometric(1, RATE, _Moving(name, function, arguments, where).matrices), read


class _Own:
    """A user's function, its arguments, and its name for messages."""

    def __init__(self, name: str, function: Callable[..., Any], arguments: Mapping[str, Any], where: str):
        self._name, self._function, self._arguments, self._where = name, function, arguments, where

    def _call(self, subject: Any, uniform: float) -> Any:
        try:
            return self._function(subject, generator(uniform), **self._arguments)
        except Exception as error:  # whatever the user's code raises
            place = line_of(error, self._name)
            raise UserError(f"{self._where}: {self._name} fails{place}: {one_line(error)}") from error


class _Recolouring(_Own):
    def steps(self, arguments: Arguments, uniform: np.ndarray) -> list[Steps]:
        return [(("custom", (self.change, number)),) for number in uniform[:, 0].tolist()]

    def change(self, image: np.ndarray, uniform: float) -> None:
        """Run the function on a copy, check what comes back, put it in place of the image."""
        result = self._call(image.copy(), uniform)
        if not isinstance(result, np.ndarray) or result.shape != image.shape or result.dtype != image.dtype:
            got = f"{result.dtype} {result.shape}" if isinstance(result, np.ndarray) else type(result).__name__
            raise UserError(
                f"{self._where}: {self._name} returned {got}; kind colour returns uint8 {image.shape}, as it was given"
            )
        image[...] = result


class _Moving(_Own):
    def matrices(self, arguments: Arguments, uniform: np.ndarray, size: Size) -> np.ndarray:
        return np.stack([self._matrix(size, number) for number in uniform[:, 0].tolist()])

    def _matrix(self, size: Size, uniform: float) -> np.ndarray:
        result = self._call(size, uniform)
        try:
            matrix = np.asarray(result, dtype=np.float64)
        except (TypeError, ValueError):
            matrix = np.zeros(0)
        affine = matrix.shape == (3, 3) and np.isfinite(matrix).all() and (matrix[2] == (0, 0, 1)).all()
        if not affine or abs(determinant(matrix)) < 1e-6:
            raise UserError(
                f"{self._where}: {self._name} returned {str(result)[:60]!r}; kind geometry returns a 3x3 matrix whose "
                "last row is 0 0 1 and which has an inverse"
            )
        return matrix


def _run(image: np.ndarray, strength: tuple[Callable[[np.ndarray, float], None], float]) -> None:
    change, uniform = strength
    change(image, uniform)


PIXELS: dict[str, Callable[[np.ndarray, Any], Any]] = {"custom": _run}
