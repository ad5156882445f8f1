"""Shapes as ST's runtime tells them, against those of the model file: padded with ones, channels first or last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stm32pose.inference.runner import Layout

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Fit:
    """How an output of the runtime becomes one of the file.

    Attributes:
        index: which of the runtime's outputs.
        squeezed: its shape without batch and ones.
        order: axes after the batch in the file's order, counted from 1.
        shape: the file's shape, without batch.
    """

    index: int
    squeezed: Shape
    order: Shape
    shape: Shape

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Values [B, ...] of the runtime as [B, ...] of the file; nothing but moved."""
        moved = values.reshape(len(values), *self.squeezed).transpose(0, *self.order)
        return np.ascontiguousarray(moved).reshape(len(values), *self.shape)


def input_layout(got: Shape, wanted: tuple[int, int, int]) -> Layout | None:
    """Whether an input of shape `got` (without batch) takes images (H, W, C) channels last or first; None: neither."""
    height, width, channels = wanted
    if got == wanted:
        return "NHWC"
    return "NCHW" if got == (channels, height, width) else None


def fit_outputs(got: Sequence[Shape], wanted: Sequence[Shape]) -> list[Fit] | None:
    """For each output of the file the runtime's output that holds it; None where they do not belong together.

    The order is kept where it fits; otherwise each must have one place alone.
    """
    if len(got) != len(wanted):
        return None
    in_order = [_fit(index, have, want) for index, (have, want) in enumerate(zip(got, wanted, strict=True))]
    kept = [fit for fit in in_order if fit is not None]
    if len(kept) == len(wanted):
        return kept
    fits: list[Fit] = []
    for want in wanted:
        found = [fit for index, have in enumerate(got) if (fit := _fit(index, have, want)) is not None]
        if len(found) != 1 or found[0].index in [fit.index for fit in fits]:
            return None
        fits.append(found[0])
    return fits


def _fit(index: int, have: Shape, want: Shape) -> Fit | None:
    squeezed, goal = (tuple(size for size in shape if size != 1) for shape in (have, want))
    axes = range(1, len(squeezed) + 1)
    orders = {
        0: [()],
        1: [(1,)],
        2: [(1, 2), (2, 1)],
        # As it is; channels first to last; channels last to first.
        3: [(1, 2, 3), (2, 3, 1), (3, 1, 2)],
    }.get(len(squeezed), [tuple(axes)])
    for order in orders:
        if tuple(squeezed[axis - 1] for axis in order) == goal:
            return Fit(index, squeezed, order, want)
    return None
