"""Plane geometry of images and labels: 3x3 matrices in continuous coordinates, and the one resampling that obeys them.

Coordinates are (x, y); the centre of pixel (column i, row j) lies at (i + 0.5, j + 0.5), an image
spans [0, W] x [0, H]. A matrix M maps a column (x, y, 1) of one frame to another, and `second @ first` does `first`
first. All functions that take one matrix take stacks [..., 3, 3] as well, unless they say otherwise.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

Size = tuple[int, int]
Region = tuple[float, float, float, float]

ASPECT_RATIOS = ("fit", "full_screen", "padding", "crop")
INTERPOLATIONS = {
    "bilinear": cv2.INTER_LINEAR,
    "nearest": cv2.INTER_NEAREST,
    "area": cv2.INTER_LINEAR,  # a strong reduction is averaged before every warp, see `warp`
    "bicubic": cv2.INTER_CUBIC,
    "lanczos3": cv2.INTER_LANCZOS4,
    "lanczos5": cv2.INTER_LANCZOS4,
    "gaussian": cv2.INTER_LINEAR,
    "mitchellcubic": cv2.INTER_CUBIC,
}
"""ST's names. What OpenCV lacks has its nearest relative: `interpolation_note` says which."""

BORDERS = {
    "constant": cv2.BORDER_CONSTANT,
    "reflect": cv2.BORDER_REFLECT,
    "wrap": cv2.BORDER_WRAP,
    "nearest": cv2.BORDER_REPLICATE,
}
"""ST's `fill_mode`: what is seen outside the image. `reflect` repeats the edge pixel (c b a | a b c | c b a)."""

_STAND_INS = {
    "lanczos3": "Lanczos over 8 pixels",
    "lanczos5": "Lanczos over 8 pixels",
    "gaussian": "area averaging",
    "mitchellcubic": "bicubic",
}
_REDUCE_FROM = 2.2


def fit_matrix(
    size_image: Size, size_input: Size, aspect_ratio: str = "fit", region: Region | None = None
) -> np.ndarray:
    """Image pixels to network input pixels, float64 [3, 3].

    Args:
        size_image: (H, W) of the image.
        size_input: (H, W) of the network's input.
        aspect_ratio: `fit` and `full_screen` stretch both axes to the input; `padding` keeps the shape and shows
            everything, centred between bars; `crop` keeps the shape and fills the input, cutting what is too much on
            both sides alike.
        region: (left, top, width, height) of the part of the image to fit, in image pixels; None for the whole.

    Raises:
        ValueError: another `aspect_ratio`, or an empty region.
    """
    left, top, width, height = region if region is not None else (0.0, 0.0, size_image[1], size_image[0])
    if not (width > 0 and height > 0):
        raise ValueError(f"region of {width} x {height} pixels; allowed: more than 0")
    scale_x, scale_y = size_input[1] / width, size_input[0] / height
    if aspect_ratio == "padding":
        scale_x = scale_y = min(scale_x, scale_y)
    elif aspect_ratio == "crop":
        scale_x = scale_y = max(scale_x, scale_y)
    elif aspect_ratio not in ("fit", "full_screen"):
        raise ValueError(f"aspect_ratio: got {aspect_ratio!r}; allowed {', '.join(ASPECT_RATIOS)}")
    # Centre to centre; for a stretch that is edge to edge too.
    shift_x = size_input[1] / 2 - scale_x * (left + width / 2)
    shift_y = size_input[0] / 2 - scale_y * (top + height / 2)
    return np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y], [0, 0, 1]], dtype=np.float64)


def affine(a: np.ndarray | float, b, c, d, shift_x, shift_y) -> np.ndarray:
    """[[a, b, shift_x], [c, d, shift_y], [0, 0, 1]]; the six broadcast, giving float64 [..., 3, 3]."""
    entries = np.broadcast_arrays(a, b, shift_x, c, d, shift_y, 0.0, 0.0, 1.0)
    return np.stack(entries, axis=-1).astype(np.float64).reshape(*entries[0].shape, 3, 3)


def translation(x, y) -> np.ndarray:
    """Shift right by `x` and down by `y` pixels."""
    return affine(1.0, 0.0, 0.0, 1.0, x, y)


def about(matrix: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """`matrix` with `centre` (x, y) as its fixed point in place of the origin."""
    return translation(*centre) @ matrix @ translation(-centre[0], -centre[1])


def rotation(radians, centre: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Turn counter-clockwise as seen on the screen (y points down)."""
    cos, sin = np.cos(radians), np.sin(radians)
    return about(affine(cos, sin, -sin, cos, 0.0, 0.0), centre)


def tilt(pitch, yaw, roll, centre: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """The flat image turned in space about its own x, then y, then z axis, seen from far away.

    Angles in radians. The parallel projection of R = Rz(roll) Ry(yaw) Rx(pitch), applied to points of the plane z = 0,
    is the upper left 2x2 of R: an affine map, so labels follow exactly. A tilt past a quarter turn shows the mirrored
    back (negative determinant).
    """
    sin_x, cos_x = np.sin(pitch), np.cos(pitch)
    sin_y, cos_y = np.sin(yaw), np.cos(yaw)
    return rotation(roll, centre) @ about(affine(cos_y, sin_x * sin_y, 0.0, cos_x, 0.0, 0.0), centre)


def scaling(x, y, centre: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Multiply distances from `centre` by `x` and `y`."""
    return about(affine(x, 0.0, 0.0, y, 0.0, 0.0), centre)


def shear(radians_x, radians_y, centre: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Lean: x grows by tan(radians_x) a pixel of y, and y by tan(radians_y) a pixel of x; angle 0 changes nothing."""
    return about(affine(1.0, np.tan(radians_x), np.tan(radians_y), 1.0, 0.0, 0.0), centre)


def flip_matrix(size: Size, horizontal, vertical) -> np.ndarray:
    """Mirror left-right and/or top-bottom (booleans, broadcast) in an image of (H, W): its edges change places."""
    sign_x, sign_y = np.where(horizontal, -1.0, 1.0), np.where(vertical, -1.0, 1.0)
    return affine(sign_x, 0.0, 0.0, sign_y, np.where(horizontal, size[1], 0.0), np.where(vertical, size[0], 0.0))


def determinant(matrix: np.ndarray) -> np.ndarray:
    """Signed factor of areas, [...]; negative where the map mirrors."""
    return matrix[..., 0, 0] * matrix[..., 1, 1] - matrix[..., 0, 1] * matrix[..., 1, 0]


def invert(matrix: np.ndarray) -> np.ndarray:
    """The inverse of affine matrices, [..., 3, 3].

    Raises:
        ValueError: one of them flattens the plane.
    """
    det = determinant(matrix)
    if np.any(np.abs(det) < 1e-12):
        raise ValueError("affine matrix without an inverse")
    a, b, c, d = matrix[..., 1, 1] / det, -matrix[..., 0, 1] / det, -matrix[..., 1, 0] / det, matrix[..., 0, 0] / det
    x, y = matrix[..., 0, 2], matrix[..., 1, 2]
    return affine(a, b, c, d, -(a * x + b * y), -(c * x + d * y))


def transform_points(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points [..., 2] under matrices [..., 3, 3] whose leading axes broadcast with those of the points, float64."""
    x, y = points[..., 0], points[..., 1]
    return np.stack(
        [
            matrix[..., 0, 0] * x + matrix[..., 0, 1] * y + matrix[..., 0, 2],
            matrix[..., 1, 0] * x + matrix[..., 1, 1] * y + matrix[..., 1, 2],
        ],
        axis=-1,
    )


def transform_boxes(matrix: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Upright hulls (left, top, width, height) [..., 4] of transformed boxes of the same form."""
    left, top, width, height = np.moveaxis(np.asarray(boxes, dtype=np.float64), -1, 0)
    centre = transform_points(matrix, np.stack([left + width / 2, top + height / 2], axis=-1))
    hull_width = np.abs(matrix[..., 0, 0]) * width + np.abs(matrix[..., 0, 1]) * height
    hull_height = np.abs(matrix[..., 1, 0]) * width + np.abs(matrix[..., 1, 1]) * height
    return np.stack(
        [centre[..., 0] - hull_width / 2, centre[..., 1] - hull_height / 2, hull_width, hull_height], axis=-1
    )


def clip_boxes(boxes: np.ndarray, size: Size) -> np.ndarray:
    """The part of boxes (left, top, width, height) [..., 4] inside an image of (H, W); outside: zeros."""
    low = np.maximum(boxes[..., :2], 0.0)
    high = np.minimum(boxes[..., :2] + boxes[..., 2:], (size[1], size[0]))
    inside = (high > low).all(axis=-1, keepdims=True)
    return np.where(inside, np.concatenate([low, high - low], axis=-1), 0.0)


def index_matrix(matrix: np.ndarray) -> np.ndarray:
    """The same map for pixel indices, whose pixel centres lie at integers: S(-0.5) M S(+0.5), [..., 3, 3]."""
    shifted = np.array(matrix, dtype=np.float64)
    for row in (0, 1):
        shifted[..., row, 2] += 0.5 * (matrix[..., row, 0] + matrix[..., row, 1]) - 0.5
    return shifted


@cache
def interpolation_note(name: str) -> str | None:
    """What serves for an interpolation that OpenCV lacks, or None."""
    return f"resizing.interpolation {name}: OpenCV has none, {_STAND_INS[name]} serves" if name in _STAND_INS else None


def warp(
    image: np.ndarray,
    matrix: np.ndarray,
    size: Size,
    interpolation: str = "bilinear",
    fill: float = 0.0,
    *,
    fill_mode: str = "constant",
    dst: np.ndarray | None = None,
) -> np.ndarray:
    """Resample an image once: the output pixel at M p shows the image at p.

    Where the map shrinks an axis more than 2.2 times, the image is first averaged down by a whole factor (not for
    `nearest`): four neighbours would miss the pixels between. OpenCV rounds coordinates to 1/32 pixel in some builds.

    Args:
        image: uint8 [H, W] or [H, W, C].
        matrix: float64 [3, 3], image to output, continuous coordinates.
        size: (H, W) of the output.
        interpolation: a name of `INTERPOLATIONS`.
        fill: pixel value 0..255 seen outside the image with `fill_mode` constant.
        fill_mode: a name of `BORDERS`.
        dst: where to write, uint8 of the output's shape; absent: a new array.
    """
    if interpolation != "nearest":
        image, matrix = _averaged(image, matrix)
    return cv2.warpAffine(
        image,
        index_matrix(matrix)[:2],
        (size[1], size[0]),
        dst=dst,
        flags=INTERPOLATIONS[interpolation],
        borderMode=BORDERS[fill_mode],
        borderValue=(fill, fill, fill, fill),
    )


def _averaged(image: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The image reduced by whole factors as far as `matrix` would skip pixels, and the matrix from there."""
    (a, b), (c, d) = matrix[0, :2].tolist(), matrix[1, :2].tolist()
    # Squares of: output pixels per image pixel, along each axis of the image.
    along_x, along_y, limit = a * a + c * c, b * b + d * d, _REDUCE_FROM**-2
    if along_x >= limit and along_y >= limit:
        return image, matrix
    along_x, along_y = max(along_x, 1e-8), max(along_y, 1e-8)
    height, width = image.shape[:2]
    small_width = max(1, width // max(1, int(along_x**-0.5)))
    small_height = max(1, height // max(1, int(along_y**-0.5)))
    small = cv2.resize(image, (small_width, small_height), interpolation=cv2.INTER_AREA)
    return small, matrix @ scaling(width / small_width, height / small_height)
