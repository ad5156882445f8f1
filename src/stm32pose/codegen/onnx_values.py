"""What a name in an ONNX graph stands for: stored integers, a constant, or a result that is not quantized yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf, prod

import numpy as np

CHANNELS_LAST = (0, 2, 3, 1)
"""Order in which the axes of [N, C, H, W] are stored."""


@dataclass(frozen=True)
class Steps:
    """A quantization to int8: real = scale * (stored - zero_point). uint8 is taken as int8, 128 less."""

    scale: float
    zero_point: int

    def real(self) -> np.ndarray:
        """[256] float32: what stored -128 to 127 stand for, as ONNX Runtime computes it."""
        return (np.arange(-128, 128) - self.zero_point).astype(np.float32) * np.float32(self.scale)

    def store(self, values: np.ndarray | float) -> np.ndarray:
        """int8: float32 real values as QuantizeLinear stores them, halves to even. Not a number becomes the zero."""
        with np.errstate(all="ignore"):
            steps = np.rint(np.asarray(values, np.float32) / np.float32(self.scale)).astype(np.float64)
        steps = np.nan_to_num(steps, nan=0.0, posinf=inf, neginf=-inf)
        return np.clip(steps + self.zero_point, -128, 127).astype(np.int8)


@dataclass(frozen=True, eq=False)
class Stored:
    """Values that are, or will be, in a tensor of the network.

    The file sees `shape`. The tensor holds the axes of `base` in `order`; `shape` is `base` read row by row in the
    file's order of axes, so that the two differ only by a reshape.

    Attributes:
        index: of the tensor.
        base, order: order[i] is the axis of `base` at place i of the tensor.
        shape: as the file sees it.
        integer: whether the file sees the stored integers here; else the real numbers they stand for.
    """

    index: int
    base: tuple[int, ...]
    order: tuple[int, ...]
    shape: tuple[int, ...]
    integer: bool

    @property
    def plain(self) -> bool:
        """Whether the axes that the file sees are axes of the tensor."""
        return self.base == self.shape


@dataclass(frozen=True, eq=False)
class Integers:
    """A quantized constant: what is stored, and its scales. `axis` is that of several scales."""

    values: np.ndarray
    scales: np.ndarray
    zero_points: np.ndarray
    axis: int = 0

    def real(self) -> np.ndarray:
        shape = [1] * self.values.ndim
        if len(self.scales) > 1:
            shape[self.axis] = len(self.scales)
        zero_points = self.zero_points.astype(np.int64).reshape(shape if len(self.zero_points) > 1 else ())
        scales = self.scales.reshape(shape if len(self.scales) > 1 else ())
        return (self.values.astype(np.int64) - zero_points).astype(np.float32) * scales.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Constant:
    """A constant; `stored` where it comes out of a DequantizeLinear."""

    values: np.ndarray
    stored: Integers | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape


@dataclass(frozen=True, eq=False)
class Pointwise:
    """A function of a stored tensor, element by element, that is not quantized yet.

    Attributes:
        source: of int8 values.
        values: float32 [256], or [256, C] where each place along the tensor's last axis has a function of its own: the
            result for stored -128 to 127.
        kind, name: of the last operator in it.
    """

    source: Stored
    values: np.ndarray
    kind: str
    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape


Make = Callable[["Steps | None", float, float], Stored]
"""Makes the operator that gives a result in these steps (None: in float32), limited to [low, high]."""


@dataclass(frozen=True, eq=False)
class Pending:
    """A result that waits for its QuantizeLinear, which says in what steps the operator gives it.

    Attributes:
        make: adds the operator.
        shape: as the file sees it.
        kind, name: of the operator.
        low, high: limits of Relu and Clip after it.
        made: results there are already, by their steps.
    """

    make: Make
    shape: tuple[int, ...]
    kind: str
    name: str
    low: float = -inf
    high: float = inf
    made: dict[Steps | None, Stored] = field(default_factory=dict)


Value = Stored | Constant | Pointwise | Pending


def identity(rank: int) -> tuple[int, ...]:
    return tuple(range(rank))


def live(order: Sequence[int], shape: Sequence[int]) -> list[int]:
    """Axes of an order that are longer than 1: what the order in memory depends on."""
    return [axis for axis in order if shape[axis] != 1]


def reshaped_order(base: Sequence[int], order: Sequence[int], shape: Sequence[int]) -> tuple[int, ...] | None:
    """The order in which the axes of `shape` lie in a tensor that holds the axes of `base` in `order`.

    None where they are no axes of it: elements would have to move.
    """
    strides = {}
    step = 1
    for axis in reversed(order):
        strides[axis] = step
        step *= base[axis]
    old = [axis for axis in range(len(base)) if base[axis] != 1]
    new = [axis for axis in range(len(shape)) if shape[axis] != 1]
    found: dict[int, int] = {}
    while old and new:
        olds, news = [old.pop(0)], [new.pop(0)]
        while (left := prod(base[a] for a in olds)) != (right := prod(shape[a] for a in news)):
            rest, group = (old, olds) if left < right else (new, news)
            if not rest:
                return None
            group.append(rest.pop(0))
        if any(strides[a] != strides[b] * base[b] for a, b in pairwise(olds)):
            return None
        step = strides[olds[-1]]
        for axis in reversed(news):
            found[axis] = step
            step *= shape[axis]
    if old or new:
        return None
    ordered = sorted(found, key=lambda axis: -found[axis])
    for candidate in (identity(len(shape)), CHANNELS_LAST if len(shape) == 4 else ()):
        if candidate and live(candidate, shape) == ordered:
            return tuple(candidate)
    return (*(axis for axis in range(len(shape)) if shape[axis] == 1), *ordered)


def stored_columns(base: Sequence[int], order: Sequence[int]) -> np.ndarray:
    """[K]: of each element of a tensor that holds the axes of `base` in `order`, its place in the file's order."""
    return np.arange(prod(base)).reshape(base).transpose(order).reshape(-1)
