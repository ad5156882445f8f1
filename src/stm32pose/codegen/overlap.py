"""How far an output may reach into the input it is computed from."""

from __future__ import annotations

import numpy as np


def lead(written: np.ndarray, needed: np.ndarray) -> int:
    """Bytes that the output must begin before the input, for a kernel that works from first to last in groups.

    Args:
        written: [G], bytes of the output that may have been written when group g is done.
        needed: [G], the lowest byte of the input that is still read at or after the moment the first byte of group g
            is written. A kernel that copies what group g reads into scratch before it writes needs only what the
            groups after g read; its last entry may be the size of the input.

    Returns:
        the smallest L with `written[g] - L <= needed[g]` for every g: the output may begin at any address up to
        `address of input - L`. Negative values are returned as 0.
    """
    return max(0, int(np.max(np.asarray(written, np.int64) - np.asarray(needed, np.int64))))


def window_needs(first_row: np.ndarray, first_column: np.ndarray, *, row_bytes: int, pixel_bytes: int) -> np.ndarray:
    """The lowest byte of the input that is read for output pixel p or any later one, [rows * columns] of the output.

    Args:
        first_row, first_column: [output rows] and [output columns], where each window begins inside the input.
        row_bytes, pixel_bytes: of the input.
    """
    here = np.asarray(first_row, np.int64)[:, None] * row_bytes + np.asarray(first_column, np.int64)[None] * pixel_bytes
    return np.minimum.accumulate(here.reshape(-1)[::-1])[::-1]


def window_starts(size: int, *, stride: int, pad: int, limit: int) -> np.ndarray:
    """[size], the first row (or column) inside the input of each output row's window."""
    return np.clip(np.arange(size) * stride - pad, 0, limit - 1)
