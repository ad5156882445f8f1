"""The chart of a learning rate over a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stm32pose.reporting.figures import FLOAT, _figure

DECADES = 1e-6
"""Share of the highest rate at which the logarithmic axis ends."""


def learning_rate_chart(
    epochs: np.ndarray,
    path: Path,
    *,
    title: str,
    steps: int | None = None,
    points: tuple[np.ndarray, np.ndarray] | None = None,
    flat: bool = True,
) -> Path:
    """The learning rate on a linear and on a logarithmic axis, over epochs and, where they are known, steps.

    Args:
        epochs: float64 [E], the rate of each epoch.
        path: of the PNG.
        title: what sets the rate.
        steps: optimizer steps an epoch; None: no axis of steps.
        points: (steps from 0, rates) of a schedule in steps, None of one in epochs.
        flat: whether the rate stays the same between two points.

    Returns:
        The path.
    """
    count = len(epochs)
    if points is None or steps is None:
        places, rates, flat = np.arange(count, dtype=float), epochs, True
    else:
        places, rates = points[0] / steps, points[1]
    # The last rate holds until the training ends.
    places, rates = np.append(places, count), np.append(rates, rates[-1])
    with _figure(path, 11, 3.6, nrows=1, ncols=2) as panels:
        for axis, scale in zip(panels, ("linear", "log"), strict=True):
            axis.plot(places, rates, color=FLOAT, drawstyle="steps-post" if flat else "default")
            axis.set(xlabel="epochs done", ylabel="learning rate", xlim=(0, count), yscale=scale)
            axis.set_ylim(*limits(rates, scale))
            if steps is not None:
                axis.spines["top"].set_visible(True)
                axis.secondary_xaxis("top", functions=(lambda x: x * steps, lambda x: x / steps)).set_xlabel("steps")
        panels[0].figure.suptitle(title, fontsize=10)
    return path


def limits(rates: np.ndarray, scale: str) -> tuple[float, float | None]:
    """Lower and upper end of a `linear` or `log` axis for float64 [P]; an end of None is matplotlib's.

    A constant rate lies in the middle. A cosine ends at nothing, and its last steps would leave no room for the rest of
    a logarithmic axis: that ends at DECADES.
    """
    highest, lowest = float(rates.max()), float(rates[rates > 0].min(initial=np.inf))
    if np.ptp(rates) == 0 and highest > 0:
        return (0.0, 2 * highest) if scale == "linear" else (highest / 10**0.5, highest * 10**0.5)
    return (0.0, None) if scale == "linear" else (max(0.7 * lowest, DECADES * highest), None)
