"""Non-negative least squares on relative errors, and how wrong a fit is on groups of rows that had no part in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import nnls


def non_negative(matrix: np.ndarray, wanted: np.ndarray | None = None) -> np.ndarray:
    """argmin |matrix w - wanted| with w >= 0. `wanted` is 1 everywhere where it is not given."""
    wanted = np.ones(len(matrix)) if wanted is None else wanted
    size = np.linalg.norm(matrix, axis=0)
    scale = np.where(size > 0, size, 1)
    return nnls(matrix / scale, wanted)[0] / scale


def left_out(matrix: np.ndarray, published: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Every row's relative error when its group had no part in the fit; NaN where one group is all there is."""
    relative = matrix / published[:, None]
    errors = np.full(len(published), np.nan)
    for group in sorted(set(groups)):
        inside = np.array([name == group for name in groups])
        if not inside.all():
            errors[inside] = relative[inside] @ non_negative(relative[~inside]) - 1
    return errors


def solve(matrix: np.ndarray, published: np.ndarray) -> np.ndarray:
    """Weights over all rows, by relative errors."""
    return non_negative(matrix / published[:, None])


def errors_of(errors: np.ndarray) -> dict[str, float]:
    """Mean, 90th percentile and largest of the relative errors that are known."""
    known = np.abs(errors[np.isfinite(errors)])
    if not len(known):
        return {"mean_error": 0.0, "error": 0.0, "worst_error": 0.0}
    return {
        "mean_error": round(float(known.mean()), 3),
        "error": round(float(np.quantile(known, 0.9)), 3),
        "worst_error": round(float(known.max()), 3),
    }
