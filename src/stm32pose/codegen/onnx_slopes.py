"""Functions a channel that are straight on both sides of zero: what Mul, Add, PRelu and batch normalisation make."""

from __future__ import annotations

from typing import Any

import numpy as np

NEAR = 1e-3
"""How far, in steps of the output, a straight line may be from the values it stands for."""


def slopes_of(values: np.ndarray, source: Any, made: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """(below, above, start), float32 [C] each: steps of the output for one step of the input below and above its zero.

    An output is `start + slope * (stored - zero point)`, rounded, plus its zero point. None where values are not so.

    Args:
        values: float32 [256, C], real results for stored -128 to 127.
        source, made: `Steps` of the input and of the output.
    """
    steps = values.astype(np.float64) / made.scale
    if not np.all(np.isfinite(steps)):
        return None
    place = np.arange(-128, 128, dtype=np.float64) - source.zero_point
    zero = source.zero_point + 128
    start = steps[zero]
    below = (steps[0] - start) / place[0] if place[0] < 0 else None
    above = (steps[255] - start) / place[255] if place[255] > 0 else None
    if below is None:
        below = above
    if above is None:
        above = below
    if below is None or above is None:
        return None
    line = start + np.where(place[:, None] < 0, below, above) * place[:, None]
    if np.abs(line - steps).max() > NEAR:
        return None
    return below.astype(np.float32), above.astype(np.float32), start.astype(np.float32)
