"""Peaks of heat maps: where they are, to a fraction of a cell. Pure numpy, without a loop over images or joints.

Positions are (column, row) in cells with the first cell's centre at 0; `heatmap.py` turns them into input pixels.
"""

from __future__ import annotations

import numpy as np

PLATEAU = 3  # cells equal to the maximum belong to it up to this far from the first of them
_LIMIT = 1.5  # cells; a refined position further from the brightest cell than this is not believed
_FLOOR = 1e-3  # of the peak; below it the logarithm would look at noise


def find_peaks(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The brightest cell of every map, the first one in reading order where several are equal.

    Args:
        maps: [B, h, w, K].

    Returns:
        cells: int64 [B, K, 2], (column, row).
        values: [B, K], NaN where the map has a NaN (numpy's argmax stops at the first one).
    """
    batch, height, width, count = maps.shape
    flat = maps.reshape(batch, height * width, count)
    index = flat.argmax(axis=1)
    values = np.take_along_axis(flat, index[:, None], axis=1)[:, 0]
    return np.stack([index % width, index // width], axis=-1), values


def gather_patches(maps: np.ndarray, cells: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Square patches around cells.

    Args:
        maps: [B, h, w, K].
        cells: int64 [B, K, 2], (column, row).
        radius: the patch spans 2 * radius + 1 cells.

    Returns:
        patches: [B, K, rows, columns]; cells outside the map hold some value of its border.
        inside: bool [B, K, 2, 2 * radius + 1]: which columns (0) and which rows (1) lie inside the map.
    """
    batch, height, width, count = maps.shape
    reach = np.arange(-radius, radius + 1)
    lines = cells[..., None] + reach  # [B, K, 2, P]
    limits = np.array([width, height])[:, None]
    inside = (lines >= 0) & (lines < limits)
    lines = np.clip(lines, 0, limits - 1)
    index = (np.arange(batch)[:, None, None, None] * height + lines[:, :, 1, :, None]) * width + lines[:, :, 0, None, :]
    index = index * count + np.arange(count)[:, None, None]
    return maps.reshape(-1)[index], inside


def centre_on_plateau(maps: np.ndarray, cells: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where cells near the first maximum are equal to it (saturated or quantized maps), the middle of them.

    Args:
        maps: [B, h, w, K].
        cells: int64 [B, K, 2], (column, row) of the first maximum in reading order.
        values: [B, K], the maxima.

    Returns:
        centres: float64 [B, K, 2], centroid of the equal cells.
        tied: bool [B, K], more than one cell was equal.
    """
    patches, inside = gather_patches(maps, cells, PLATEAU)
    equal = (patches == values[..., None, None]) & inside[:, :, 1, :, None] & inside[:, :, 0, None, :]
    count = equal.sum(axis=(2, 3))
    reach = np.arange(-PLATEAU, PLATEAU + 1)
    shift = np.stack([(equal.sum(axis=2) * reach).sum(-1), (equal.sum(axis=3) * reach).sum(-1)], axis=-1)
    return cells + shift / np.maximum(count, 1)[..., None], count > 1


def quarter_offsets(maps: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """A quarter of a cell towards the higher of the two neighbours, per axis; 0 where one of them is outside the map.

    Args:
        maps: [B, h, w, K].
        cells: int64 [B, K, 2], (column, row).

    Returns:
        float64 [B, K, 2], (x, y) in cells.
    """
    patches, inside = gather_patches(maps, cells, 1)
    after = np.stack([patches[:, :, 1, 2], patches[:, :, 2, 1]], axis=-1)
    before = np.stack([patches[:, :, 1, 0], patches[:, :, 0, 1]], axis=-1)
    towards = (after > before).astype(np.float64) - (after < before)
    return 0.25 * towards * np.all(inside, axis=-1)


def dark_offsets(
    maps: np.ndarray, cells: np.ndarray, *, sigma: float, logits: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the top of the Gaussian that fits around a cell: one Newton step on the logarithm of the blurred map.

    Source: Zhang et al., Distribution-Aware Coordinate Representation for Human Pose Estimation, CVPR 2020. Only a
    patch of the map is blurred (`dark_blur`). Where the border cuts the patch, a blur would pull the peak inwards;
    there a Gaussian is fitted to the cells that exist instead (Guo, A simple algorithm for fitting a Gaussian
    function, IEEE Signal Processing Magazine 28(5), 2011).

    Args:
        maps: [B, h, w, K], not negative, or logits.
        cells: int64 [B, K, 2], (column, row).
        sigma: expected standard deviation of a blob in cells.
        logits: the maps are logarithms (up to a constant a map).

    Returns:
        offsets: float64 [B, K, 2], (x, y) in cells from `cells`.
        found: bool [B, K], there is a maximum within reach; the offset is 0 where not.
    """
    height, width = maps.shape[1:3]
    if min(height, width) < 3:
        return np.zeros(cells.shape), np.zeros(cells.shape[:2], bool)
    blur, radius = dark_blur(sigma)
    start = np.clip(cells, 1, np.array([width, height]) - 2)
    patches, inside = gather_patches(maps, start, radius + 1)
    values = patches.astype(np.float64)
    peak = values.max(axis=(2, 3), keepdims=True)
    with np.errstate(invalid="ignore", over="ignore"):
        values = np.exp(values - peak) if logits else values / np.where(peak > 0, peak, 1.0)
    values = np.clip(np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
    kernel = _blur_rows(blur, radius)
    steps = _newton_steps(np.log(np.maximum(kernel @ values @ kernel.T, _FLOOR)))
    cut = ~np.all(inside, axis=(2, 3))
    if np.any(cut):
        values *= inside[:, :, 1, :, None] & inside[:, :, 0, None, :]
        steps[cut] = _fitted_centres(values[cut][:, 1:-1, 1:-1])
    offsets = steps + (start - cells)
    found = np.all(np.abs(offsets) <= _LIMIT, axis=-1)  # False for NaN
    return np.where(found[..., None], offsets, 0.0), found


def dark_blur(sigma: float) -> tuple[float, int]:
    """(standard deviation, kernel radius) in cells of DARK's blur for blobs of `sigma` cells.

    As wide as the blob, the best filter against noise, up to 1.5 cells (benchmarks/decode.py has the measurement).
    """
    blur = min(max(sigma, 0.5), 1.5)
    return blur, max(2, round(2 * blur))


def _blur_rows(blur: float, radius: int) -> np.ndarray:
    """[3, 2 * radius + 3]: a Gaussian kernel at the three middle positions of a patch."""
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / blur) ** 2)
    rows = np.zeros((3, 2 * radius + 3))
    for shift in range(3):
        rows[shift, shift : shift + len(taps)] = taps / taps.sum()
    return rows


def _newton_steps(logs: np.ndarray) -> np.ndarray:
    """[..., 3, 3] -> [..., 2], (x, y) from the middle to the top of the paraboloid; NaN where it has none."""
    dx, dy = (logs[..., 1, 2] - logs[..., 1, 0]) / 2, (logs[..., 2, 1] - logs[..., 0, 1]) / 2
    dxx = logs[..., 1, 2] - 2 * logs[..., 1, 1] + logs[..., 1, 0]
    dyy = logs[..., 2, 1] - 2 * logs[..., 1, 1] + logs[..., 0, 1]
    dxy = (logs[..., 2, 2] - logs[..., 2, 0] - logs[..., 0, 2] + logs[..., 0, 0]) / 4
    determinant = dxx * dyy - dxy * dxy
    maximum = (dxx < 0) & (dyy < 0) & (determinant > 1e-9)
    determinant = np.where(maximum, determinant, np.nan)[..., None]
    return np.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], axis=-1) / determinant


def _fitted_centres(values: np.ndarray) -> np.ndarray:
    """[n, P, P] in 0..1 -> [n, 2], (x, y) from the middle to the centre of the round Gaussian nearest to the values.

    Least squares for log v = a + b x + c y + d (x^2 + y^2), weighted with v^2 (the variance of a logarithm); NaN where
    the result is no maximum.
    """
    side = values.shape[-1]
    reach = np.arange(side) - side // 2
    x, y = (grid.ravel().astype(np.float64) for grid in np.meshgrid(reach, reach))
    basis = np.stack([np.ones_like(x), x, y, x * x + y * y], axis=-1)
    flat = values.reshape(-1, side * side)
    weights = np.where(flat > _FLOOR, flat * flat, 0.0)
    logs = np.log(np.maximum(flat, _FLOOR))
    normal = np.einsum("np,pi,pj->nij", weights, basis, basis, optimize=True) + 1e-9 * np.eye(4)
    fit = np.linalg.solve(normal, ((weights * logs) @ basis)[..., None])[..., 0]
    bend = np.where(fit[:, 3] < -1e-3, fit[:, 3], np.nan)[:, None]
    return -fit[:, 1:3] / (2 * bend)
