"""The chain of augmentations that a configuration lists: one matrix and a few colour steps for each image.

Geometry is composed in the order of the configuration and joined to the matrix that fits the image to the input, so the
image is resampled once. Colour follows on the resampled image, again in the order of the configuration: a change of
pixel values commutes with moving them, except where it is seen outside the image.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stm32pose.config.built import LATER_AUGMENTATIONS
from stm32pose.config.data_sections import Rescaling
from stm32pose.errors import ConfigError, did_you_mean
from stm32pose.transforms.affine import GEOMETRIC, faults
from stm32pose.transforms.arguments import Choice, Number, Sizes, read_arguments
from stm32pose.transforms.colour import COLOURING, Step
from stm32pose.transforms.geometry import INTERPOLATIONS, Size, determinant

SECTION = "data_augmentation"
RESIZING = "random_periodic_resizing"
_RESIZING = {
    "image_sizes": Sizes(),
    "period": Number(1, 1e6, 10, whole=True),
    "interpolation": Choice(tuple(INTERPOLATIONS), "bilinear"),
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Link:
    """One augmentation with its arguments, and the column of uniform numbers at which its own begin."""

    name: str
    arguments: Mapping[str, Any]
    column: int

    @property
    def draws(self) -> int:
        """Numbers from [0, 1) an image takes; the last one decides whether it is changed at all."""
        return 1 + (GEOMETRIC[self.name].draws if self.name in GEOMETRIC else 1)

    def applied(self, uniform: np.ndarray) -> np.ndarray:
        """Which images change, bool [B], for uniform [B, draws of the chain]."""
        return uniform[:, self.column + self.draws - 1] < self.arguments["change_rate"]


@dataclass(frozen=True)
class Chain:
    """Augmentations ready to draw.

    Attributes:
        geometry, colour: in the order of the configuration.
        size: (H, W) of the input.
        sizes, period: inputs of `random_periodic_resizing`, and for how many batches each stays.
        fill_mode, fill: what is seen outside the image, `fill` is a pixel value 0..255; None where nothing in the
            chain can show the outside.
        interpolation: asked for by an augmentation, None for that of `preprocessing.resizing`.
    """

    geometry: tuple[Link, ...]
    colour: tuple[Link, ...]
    size: Size
    sizes: tuple[Size, ...] = ()
    period: int = 1
    fill_mode: str | None = None
    fill: float = 0.0
    interpolation: str | None = None

    @property
    def draws(self) -> int:
        """How many numbers from [0, 1) each image needs."""
        return sum(link.draws for link in (*self.geometry, *self.colour))

    @property
    def mirrors(self) -> bool:
        """Whether an image can come out mirrored, so that left and right have to change places."""
        return any(link.name == "random_flip" for link in self.geometry)

    def input_size(self, batch_number: int) -> Size | None:
        """(H, W) of a batch, counted from the start of training; None: the network's own size.

        Each size stays for `period` batches, then the next follows, round and round.
        """
        return self.sizes[batch_number // self.period % len(self.sizes)] if self.sizes else None

    def matrices(self, uniform: np.ndarray, size: Size | None = None) -> np.ndarray:
        """Random geometry from input to input, float64 [B, 3, 3], for uniform numbers [B, draws].

        The image is mirrored, and left and right change places, where the determinant is negative.
        """
        total = np.broadcast_to(np.eye(3), (len(uniform), 3, 3))
        for link in self.geometry:
            numbers = uniform[:, link.column : link.column + link.draws - 1]
            matrix = GEOMETRIC[link.name].matrices(link.arguments, numbers, size or self.size)
            total = np.where(link.applied(uniform)[:, None, None], matrix, np.eye(3)) @ total
        return total

    def colours(self, uniform: np.ndarray) -> list[list[Step]]:
        """Steps for `colour.recolour`, a list for each image, for uniform numbers [B, draws]."""
        steps: list[list[Step]] = [[] for _ in uniform]
        for link in self.colour:
            step = COLOURING[link.name].step
            column = uniform[:, link.column].tolist()
            for row in np.flatnonzero(link.applied(uniform)).tolist():
                steps[row].append(step(link.arguments, column[row]))
        return steps

    def sample(self, rng: np.random.Generator) -> tuple[np.ndarray, bool, list[Step]]:
        """One image's matrix (float64 [3, 3], input to input), whether it mirrors, and its colour steps."""
        uniform = rng.random((1, self.draws))
        matrix = self.matrices(uniform)[0]
        return matrix, bool(determinant(matrix) < 0), self.colours(uniform)[0]


def build_chain(
    augmentation: Mapping[str, Mapping[str, Any] | None],
    *,
    input_shape: Sequence[int],
    rescaling: Rescaling | None = None,
) -> Chain:
    """The chain that section `data_augmentation` describes; an empty section gives one that changes nothing.

    Args:
        augmentation: ST's names, each with its arguments, in the order to apply.
        input_shape: (H, W, C) of the network's input.
        rescaling: scale and offset, in whose units `fill_value` is given.

    Raises:
        ConfigError: a line for each name or argument that is wrong.
    """
    lines: list[str] = []
    read: dict[str, dict[str, Any]] = {}
    for name, given in augmentation.items():
        try:
            read[name] = _read(name, given)
        except ValueError as error:
            lines += error.args
    outside, outside_lines = _outside(augmentation, read, rescaling or Rescaling())
    if lines or outside_lines:
        raise ConfigError("\n".join(lines + outside_lines))
    geometry, colour, column = [], [], 0
    for name, arguments in read.items():
        if name != RESIZING:
            (geometry if name in GEOMETRIC else colour).append(Link(name, arguments, column))
            column += (geometry if name in GEOMETRIC else colour)[-1].draws
    resizing = read.get(RESIZING, {"image_sizes": (), "period": 1})
    return Chain(
        tuple(geometry),
        tuple(colour),
        (int(input_shape[0]), int(input_shape[1])),
        resizing["image_sizes"],
        resizing["period"],
        **outside,
    )


def _read(name: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Checked arguments of one augmentation. Raises ValueError with a line for each fault."""
    where = f"{SECTION}.{name}"
    if name == RESIZING:
        return read_arguments(where, given, _RESIZING)
    if name in COLOURING:
        return read_arguments(where, given, COLOURING[name].arguments)
    if name in GEOMETRIC:
        arguments = read_arguments(where, given, GEOMETRIC[name].arguments)
        fault = faults(name, arguments)
        if fault:
            raise ValueError(f"{where}.{fault}")
        return arguments
    known = [*GEOMETRIC, *COLOURING, RESIZING]
    if name in LATER_AUGMENTATIONS:
        raise ValueError(f"{where}: not built yet; allowed {', '.join(known)}")
    raise ValueError(f"{where}: no such augmentation; allowed {', '.join(known)}{did_you_mean(name, known)}")


def _outside(
    augmentation: Mapping[str, Any], read: Mapping[str, Mapping[str, Any]], rescaling: Rescaling
) -> tuple[dict[str, Any], list[str]]:
    """What is seen outside the image and how it is resampled, for all augmentations alike, and lines of faults.

    The image is resampled once, so one answer serves: each argument comes from the last augmentation that gives it, or
    else from the defaults of the last one that can show the outside.
    """
    found: dict[str, Any] = {}
    faults: list[str] = []
    moving = [name for name in read if "fill_mode" in read[name]]
    for argument in ("fill_mode", "fill_value", "interpolation"):
        given = [name for name in moving if (augmentation[name] or {}).get(argument) is not None]
        if len({read[name][argument] for name in given}) > 1:
            _log.info(
                "%s: the image is resampled once; %s %s of %s serves all",
                SECTION,
                argument,
                read[given[-1]][argument],
                given[-1],
            )
        if given or (moving and argument != "interpolation"):
            found[argument] = read[(given or moving)[-1]][argument]
        if argument == "fill_value" and found:
            level = (found.pop(argument) - rescaling.offset) / rescaling.scale
            found["fill"] = float(min(max(level, 0.0), 255.0))
            if given and not -0.5 <= level <= 255.5:
                low, high = sorted((rescaling.offset, 255 * rescaling.scale + rescaling.offset))
                faults.append(
                    f"{SECTION}.{given[-1]}.fill_value: got {read[given[-1]][argument]}; "
                    f"allowed {low:g} to {high:g}, the range of rescaled pixels"
                )
    return found, faults
