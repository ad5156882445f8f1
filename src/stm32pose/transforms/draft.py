"""What one batch is to go through: matrices, colour steps and joins for each image, and its labels beside them.

Augmentations are taken in the order of the configuration. Geometry is multiplied into one matrix, and colour that works
level by level waits until it is resampled. That saves a resampling, and is not quite the order written where colour
comes before geometry: it recolours a constant fill too, and what it measures (contrast, autocontrast, equalize) is the
image as it is drawn. What is bound to its place (covering, filters, noise, a user's function) closes the
matrix of the images it changes, so that geometry written after it moves its result too, at the price of another
resampling of these images alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stm32pose.transforms.geometry import Size
from stm32pose.transforms.labels import MovingLabels
from stm32pose.transforms.mosaic import into_windows
from stm32pose.transforms.operations import (
    Colouring,
    Covering,
    Geometric,
    Joining,
    Operation,
    PersonGeometric,
    Step,
)

Pick = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, MovingLabels]]
"""(rows of the batch [b], uniform [b]) -> samples int64 [b] to stand beside them, and their labels, fitted alone."""


@dataclass(frozen=True)
class Join:
    """Another sample drawn over a part of the input: its matrix (original image to input) and (left, top, right,
    bottom)."""

    sample: int
    matrix: np.ndarray
    window: tuple[int, int, int, int]


@dataclass(frozen=True)
class Layer:
    """One drawing of an image: resampled by a matrix, recoloured, perhaps with another sample over a part of it.

    The first layer of an image starts from the original, each further one from what the one before it drew.
    """

    matrix: np.ndarray
    steps: Sequence[Step] = ()
    join: Join | None = None


@dataclass(frozen=True)
class Link:
    """One augmentation with its arguments, and the column of uniform numbers at which its own begin."""

    name: str
    operation: Operation
    arguments: Mapping[str, Any]
    column: int

    @property
    def draws(self) -> int:
        """Numbers from [0, 1) an image takes; the last one decides whether it is changed at all."""
        return self.operation.count(self.arguments) + 1

    def applied(self, uniform: np.ndarray) -> np.ndarray:
        """Which images change, int64 [b], for uniform [B, draws of the chain]."""
        return np.flatnonzero(uniform[:, self.column + self.draws - 1] < self.arguments["change_rate"])

    def numbers(self, uniform: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The numbers of some images without the last, [b, draws - 1]; in mode batch those of the first image."""
        own = uniform[:, self.column : self.column + self.draws - 1]
        chosen = own[rows]
        if self.arguments.get("mode") == "batch":
            shared = own.shape[1] if isinstance(self.operation, Covering) else getattr(self.operation, "shared", 0)
            chosen[:, :shared] = own[:1, :shared]
        return chosen


class Draft:
    """A batch under way. `take` every link in order, then `finish`.

    Args:
        labels: of the batch, fitted to the input and not yet settled.
        size: (H, W) of the input.
        pick: other samples, for what joins two.
    """

    def __init__(self, labels: MovingLabels, size: Size, pick: Pick | None = None):
        images = len(labels.matrices)
        self.labels = labels
        self._size, self._pick = size, pick
        self._total = labels.matrices
        self._steps: list[list[Step]] = [[] for _ in range(images)]
        self._bound = np.zeros(images, dtype=bool)
        self._layers: list[list[Layer]] = [[] for _ in range(images)]

    def take(self, link: Link, uniform: np.ndarray) -> None:
        """One augmentation, for uniform [B, draws of the chain]."""
        rows = link.applied(uniform)
        if not len(rows):
            return
        numbers, operation = link.numbers(uniform, rows), link.operation
        if isinstance(operation, Geometric):
            self._move(rows, operation.matrices(link.arguments, numbers, self._size))
        elif isinstance(operation, PersonGeometric):
            people = self.labels.people(rows)
            self._move(rows, operation.matrices(link.arguments, numbers, self._size, people))
        elif isinstance(operation, Colouring):
            for row, steps in zip(rows.tolist(), operation.steps(link.arguments, numbers), strict=True):
                self._steps[row].extend(steps)
            if operation.bound:
                self._bound[rows] = True
        elif isinstance(operation, Covering):
            self._cover(link, rows, numbers, operation.rectangles(link.arguments, numbers, self._size))
        elif isinstance(operation, Joining):
            own, other = operation.windows(link.arguments, numbers, self._size)
            self._join(rows, own, other, numbers[:, -1], largest=link.arguments["labels"] == "largest")
        else:
            raise TypeError(f"{link.name}: a {type(operation).__name__} has no keypoint rule")

    def finish(self) -> tuple[list[list[Layer]], np.ndarray]:
        """The layers of each image, at least one, and the matrices original image to input, float64 [B, 3, 3].

        Labels are settled: moved for good, cut at the input's edge.
        """
        for row, matrix in enumerate(self.labels.matrices):
            self._layers[row].append(Layer(matrix, self._steps[row]))
        self.labels.settle(np.broadcast_to(self._whole(), (len(self._layers), 4)))
        return self._layers, self._total

    def _whole(self) -> tuple[int, int, int, int]:
        return 0, 0, self._size[1], self._size[0]

    def _move(self, rows: np.ndarray, matrices: np.ndarray) -> None:
        closing = rows[self._bound[rows]]
        if len(closing):
            self._close(closing, np.broadcast_to(self._whole(), (len(closing), 4)))
        if len(rows) == len(self._layers):
            every = matrices
        else:
            every = np.broadcast_to(np.eye(3), self.labels.matrices.shape).copy()
            every[rows] = matrices
        self.labels.move(every)
        self._total = every @ self._total

    def _cover(self, link: Link, rows: np.ndarray, numbers: np.ndarray, rectangles: np.ndarray) -> None:
        how, colour, seeds = link.arguments["fill_method"], link.arguments["color"], numbers[:, -1].tolist()
        there = (rectangles[..., 2] > rectangles[..., 0]) & (rectangles[..., 3] > rectangles[..., 1])
        shown = rectangles if there.all() else [mine[seen] for mine, seen in zip(rectangles, there, strict=True)]
        for row, seed, mine in zip(rows.tolist(), seeds, shown, strict=True):
            self._steps[row].append(("erase", (mine, how, colour, seed)))
        self.labels.cover(rectangles, rows, occluded=link.arguments["covered"] == "occluded")
        self._bound[rows] = True

    def _join(
        self, rows: np.ndarray, own: np.ndarray, other: np.ndarray, uniform: np.ndarray, *, largest: bool
    ) -> None:
        """Bring the person of each row into its window, draw another sample into the rest."""
        if self._pick is None:
            raise ValueError("a chain that joins images needs a way to pick others")
        self._move(rows, into_windows(self.labels.people(rows), own, self._size))
        samples, labels = self._pick(rows, uniform)
        labels.move(into_windows(labels.people(np.arange(len(rows))), other, self._size))
        joins = [
            Join(sample, matrix, (left, top, right, bottom))
            for sample, matrix, (left, top, right, bottom) in zip(
                samples.tolist(), labels.matrices, other.tolist(), strict=True
            )
        ]
        self._close(rows, own, joins)
        labels.settle(other)
        self.labels.join(rows, labels, largest=largest)

    def _close(self, rows: np.ndarray, windows: np.ndarray, joins: Sequence[Join | None] | None = None) -> None:
        """Draw these images as they are now; `windows` [b, 4] is what is seen of each."""
        for row, join in zip(rows.tolist(), joins or [None] * len(rows), strict=True):
            self._layers[row].append(Layer(self.labels.matrices[row], self._steps[row], join))
            self._steps[row] = []
        self.labels.settle(windows, rows)
        self._bound[rows] = False
