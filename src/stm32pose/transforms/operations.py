"""Kinds of augmentation. The kind is the keypoint rule: what a change of the image does to the labels in it.

There are four kinds and no fifth way: `catalogue` takes instances of these classes alone, and the class decides how
`draft.Draft` treats the labels. So an augmentation that moves pixels and leaves the keypoints behind cannot be listed.

    Geometric, PersonGeometric   one matrix an image; labels follow it
    Colouring                    pixels stay where they are, and so do labels
    Covering                     rectangles are painted over; keypoints under them are cleared
    Joining                      two images become one; the labels of both follow
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from stm32pose.transforms.arguments import Argument
from stm32pose.transforms.geometry import Size

if TYPE_CHECKING:
    from stm32pose.transforms.labels import People

Arguments = Mapping[str, Any]
Step = tuple[str, Any]
"""A change of pixel values and its strength, as `colour.recolour` takes it: ("brightness", 12.0)."""
Steps = tuple[Step, ...]


@dataclass(frozen=True)
class Operation:
    """What all kinds share; of no use itself, because it has no keypoint rule.

    Attributes:
        draws: how many uniform numbers an image takes, a number or a function of the arguments.
        arguments: what may be given.
    """

    rule: ClassVar[str | None] = None

    draws: int | Callable[[Arguments], int]
    arguments: Mapping[str, Argument]

    def __post_init__(self) -> None:
        if self.rule is None:
            raise TypeError(
                "an augmentation needs a keypoint rule: make it a Geometric, PersonGeometric, Colouring, Covering or "
                "Joining"
            )

    def count(self, arguments: Arguments) -> int:
        """How many uniform numbers an image takes."""
        return self.draws(arguments) if callable(self.draws) else self.draws


@dataclass(frozen=True)
class Geometric(Operation):
    """`matrices(arguments, uniform [b, draws], (H, W))` -> float64 [b, 3, 3], from input to input."""

    rule = "moved"

    matrices: Callable[[Arguments, np.ndarray, Size], np.ndarray]


@dataclass(frozen=True)
class PersonGeometric(Operation):
    """As `Geometric`, and the matrix depends on where the person is."""

    rule = "moved"

    matrices: Callable[[Arguments, np.ndarray, Size, People], np.ndarray]
    skeleton: bool = False
    """Needs the skeleton's upper body: a bool [K] as argument `upper_body`."""


@dataclass(frozen=True)
class Colouring(Operation):
    """`steps(arguments, uniform [b, draws])` -> the steps of each of b images.

    Attributes:
        bound: looks at the neighbours or the place of a pixel, so it keeps its place among the geometry.
        rgb: needs three channels.
        shared: with `mode: batch`, how many of the first numbers all images of a batch share.
    """

    rule = "stays"

    steps: Callable[[Arguments, np.ndarray], list[Steps]]
    bound: bool = False
    rgb: bool = False
    shared: int = 0


@dataclass(frozen=True)
class Covering(Operation):
    """`rectangles(arguments, uniform [b, draws], (H, W))` -> int [b, R, 4], (left, top, right, bottom); 0 x 0 is none.

    The last of the uniform numbers decides the colours.
    """

    rule = "covered"

    rectangles: Callable[[Arguments, np.ndarray, Size], np.ndarray]


@dataclass(frozen=True)
class Joining(Operation):
    """`windows(arguments, uniform [b, draws], (H, W))` -> (own, other), int [b, 4] each: two parts of the input.

    The last of the uniform numbers chooses the other image.
    """

    rule = "joined"

    windows: Callable[[Arguments, np.ndarray, Size], tuple[np.ndarray, np.ndarray]]


KINDS = (Geometric, PersonGeometric, Colouring, Covering, Joining)


def catalogue(*parts: Mapping[str, Operation]) -> Mapping[str, Operation]:
    """All operations by name, not to be changed afterwards.

    Raises:
        TypeError: something in it is of no kind, so that nobody knows what becomes of the keypoints.
        ValueError: a name comes twice.
    """
    found: dict[str, Operation] = {}
    for part in parts:
        for name, operation in part.items():
            if type(operation) not in KINDS:
                raise TypeError(
                    f"{name}: a {type(operation).__name__} has no keypoint rule; an augmentation is one of "
                    f"{', '.join(kind.__name__ for kind in KINDS)}"
                )
            if name in found:
                raise ValueError(f"{name}: twice in the catalogue of augmentations")
            found[name] = operation
    return MappingProxyType(found)


def between(interval: tuple[float, float], uniform: np.ndarray) -> np.ndarray:
    """Numbers of [0, 1) spread over an interval."""
    return interval[0] + (interval[1] - interval[0]) * uniform


def whole_between(counts: tuple[int, int], uniform: np.ndarray) -> np.ndarray:
    """Numbers of [0, 1) to whole numbers from low to high, both included, equally often; int64."""
    return (counts[0] + np.floor((counts[1] - counts[0] + 1) * uniform)).astype(np.int64)


def each(name: str, strengths: np.ndarray) -> list[Steps]:
    """One step of that name an image."""
    return [((name, strength),) for strength in strengths.tolist()]
