"""A small ray caster: quadric surfaces and flat faces into a depth buffer, then shading of what was hit.

Every curved part is one quadric clipped along an axis (an ellipsoid, or a barrel whose squared radius is a parabola
along the bone), so silhouettes, overlaps and depths are exact. Camera axes, in metres: x right, y down, z away from the
camera.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

NEAR = 0.15
"""Nothing closer to the camera than this is drawn, in metres."""
_SHIFT = 4


@dataclass(frozen=True)
class Camera:
    """A pinhole: pixel = focal * (x, y) / z + centre, in continuous image coordinates; size is (W, H)."""

    focal: float
    centre: tuple[float, float]
    size: tuple[int, int]

    def scaled(self, factor: int) -> Camera:
        x, y = self.centre
        width, height = self.size
        return Camera(self.focal * factor, (x * factor, y * factor), (width * factor, height * factor))

    def cropped(self, window: tuple[slice, slice]) -> Camera:
        """The camera of the image's rows and columns in `window`."""
        rows, columns = window
        centre = (self.centre[0] - columns.start, self.centre[1] - rows.start)
        return Camera(self.focal, centre, (columns.stop - columns.start, rows.stop - rows.start))

    def project(self, points: np.ndarray) -> np.ndarray:
        """Camera points [..., 3] -> pixels [..., 2]."""
        depth = np.maximum(points[..., 2:], NEAR)
        return self.focal * points[..., :2] / depth + np.asarray(self.centre)


@dataclass(frozen=True)
class Material:
    """How a surface looks.

    Attributes:
        colour: RGB 0..255; `second` is the other colour of a pattern.
        pattern: a name in `synthetic_shading.PATTERNS`.
        period: of the pattern, in metres.
        phase: where the pattern starts, in radians.
        gloss: strength of the highlight.
        rough: strength of small random differences in brightness.
        face: the material is a head: eyes, mouth and so on are painted on it (see `synthetic_shading.paint_face`).
    """

    colour: tuple[float, float, float]
    second: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pattern: str = "plain"
    period: float = 0.1
    phase: float = 0.0
    gloss: float = 0.05
    rough: float = 0.06
    face: dict | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """One surface in camera coordinates.

    Attributes:
        quadric: [4, 4], the surface is where P^T Q P = 0 for P = (x, y, z, 1).
        clip: [4], only points with 0 <= clip . P <= 1 exist; None: all.
        frame: [3, 4], P -> coordinates for patterns, in metres.
        corners: [n, 3], points whose hull holds the part; of a flat face, its polygon.
        material: its look; where `split` . (frame P, 1) > 0, `other` instead.
        flat: a polygon instead of a curved surface.
        person: belongs to the person, so that its pixels count as the person's.
    """

    quadric: np.ndarray
    clip: np.ndarray | None
    frame: np.ndarray
    corners: np.ndarray
    material: Material
    other: Material | None = None
    split: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    flat: bool = False
    person: bool = True


@dataclass(frozen=True, eq=False)
class Buffers:
    """What the rays hit: part index (-1 none) and depth (inf none), both [H, W]."""

    part: np.ndarray
    depth: np.ndarray


def ellipsoid(
    centre: np.ndarray,
    axes: np.ndarray,
    semi: Sequence[float] | np.ndarray,
    material: Material,
    *,
    frame: np.ndarray | None = None,
    keep: tuple[float, float, float, float] | None = None,
    **options,
) -> Part:
    """An ellipsoid with the columns of `axes` [3, 3] as directions and half lengths `semi`.

    `keep` (a, b, c, d) keeps only the side where a x + b y + c z + d >= 0, in units of the half lengths.
    """
    half = np.asarray(semi, np.float64)
    local = _to_local(centre, axes)
    unit = local / half[:, None]
    quadric = unit.T @ unit
    quadric[3, 3] -= 1.0
    corners = centre + (_CUBE * half) @ axes.T
    clip = None
    if keep is not None:
        # any span beyond the surface will do for the open end of the kept side
        clip = (np.asarray(keep[:3]) @ unit) / 4.0
        clip[3] += keep[3] / 4.0
    return Part(quadric, clip, local if frame is None else frame, corners, material, **options)


def ball(centre: np.ndarray, radius: float, material: Material, **options) -> Part:
    """A sphere."""
    return ellipsoid(centre, np.eye(3), (radius,) * 3, material, **options)


def barrel(
    start: np.ndarray,
    end: np.ndarray,
    radii: tuple[float, float, float],
    material: Material,
    *,
    side: np.ndarray,
    aspect: float = 1.0,
    frame: np.ndarray | None = None,
    span: tuple[float, float] = (0.0, 1.0),
    **options,
) -> Part:
    """A round or oval limb from `start` to `end`.

    Args:
        radii: at the start, the middle and the end, along the limb's front; a parabola goes through their squares.
        side: [3], the limb's left direction (need not be perpendicular to the limb).
        aspect: width along `side` over depth.
        span: the part of the limb that exists, in fractions of its length.
    """
    bone = end - start
    length = float(np.linalg.norm(bone))
    up = bone / max(length, 1e-6)
    left = side - up * (side @ up)
    left /= max(float(np.linalg.norm(left)), 1e-6)
    axes = np.array([left, up, _cross(left, up)]).T
    local = _to_local(start, axes)
    square0, square1, square2 = (radius * radius for radius in radii)
    linear = (4 * square1 - 3 * square0 - square2) / length
    bend = (2 * square0 + 2 * square2 - 4 * square1) / length**2
    lateral, along, depth = local
    constant = np.array([0.0, 0.0, 0.0, 1.0])
    quadric = np.outer(lateral, lateral) / aspect**2 + np.outer(depth, depth) - bend * np.outer(along, along)
    quadric -= linear / 2 * (np.outer(along, constant) + np.outer(constant, along)) + square0 * np.outer(
        constant, constant
    )
    clip = (along / length - constant * span[0]) / (span[1] - span[0])
    widest = max(radii) * 1.08
    box = np.array([widest * aspect, length / 2, widest])
    corners = (start + end) / 2 + (_CUBE * box) @ axes.T
    return Part(quadric, clip, local if frame is None else frame, corners, material, **options)


def face(polygon: np.ndarray, material: Material, **options) -> Part:
    """A flat convex polygon [n, 3]; patterns run along its first edge."""
    first = polygon[1] - polygon[0]
    first = first / max(float(np.linalg.norm(first)), 1e-9)
    normal = _cross(polygon[1] - polygon[0], polygon[2] - polygon[0])
    normal /= max(float(np.linalg.norm(normal)), 1e-12)
    quadric = np.zeros((4, 4))
    quadric[:3, 3] = quadric[3, :3] = normal / 2
    quadric[3, 3] = -normal @ polygon[0]
    axes = np.array([first, _cross(normal, first), normal]).T
    return Part(quadric, None, _to_local(polygon[0], axes), polygon, material, flat=True, **options)


def box(
    centre: np.ndarray, axes: np.ndarray, half: Sequence[float] | np.ndarray, material: Material, **options
) -> list[Part]:
    """The faces of a box that the camera can see."""
    parts = []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            normal = axes[:, axis] * sign
            middle = centre + normal * half[axis]
            if normal @ middle >= 0:  # turned away
                continue
            one, two = axes[:, (axis + 1) % 3] * half[(axis + 1) % 3], axes[:, (axis + 2) % 3] * half[(axis + 2) % 3]
            polygon = np.array([middle - one - two, middle + one - two, middle + one + two, middle - one + two])
            if polygon[:, 2].min() > NEAR:
                parts.append(face(polygon, material, **options))
    return parts


def cast(parts: Sequence[Part], camera: Camera) -> Buffers:
    """Nearest surface along the ray through every pixel centre."""
    width, height = camera.size
    depth = np.full((height, width), np.inf)
    index = np.full((height, width), -1, np.int16)
    rays_x = (np.arange(width) + 0.5 - camera.centre[0]) / camera.focal
    rays_y = (np.arange(height) + 0.5 - camera.centre[1]) / camera.focal
    for number, part in enumerate(parts):
        window = _window(part.corners, camera)
        if window is None:
            continue
        rows, columns = window
        if part.flat:
            hit = _flat_depth(part, camera, window, rays_x[columns], rays_y[rows])
        else:
            hit = _curved_depth(part, rays_x[columns], rays_y[rows])
        seen = depth[rows, columns]
        nearer = hit < seen
        np.copyto(seen, hit, where=nearer)
        np.copyto(index[rows, columns], np.int16(number), where=nearer)
    return Buffers(index, depth)


_CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)


def _cross(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """`np.cross` of two vectors [3]; that one takes 40 times as long for so little."""
    (a, b, c), (x, y, z) = one.tolist(), two.tolist()
    return np.array([b * z - c * y, c * x - a * z, a * y - b * x])


def _to_local(origin: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """[3, 4]: camera point -> coordinates along the columns of `axes` from `origin`."""
    return np.hstack([axes.T, -(axes.T @ origin)[:, None]])


def _window(corners: np.ndarray, camera: Camera) -> tuple[slice, slice] | None:
    """Rows and columns that may hold the part; None where it is behind the camera or outside the image."""
    if corners[:, 2].min() <= NEAR:
        return None
    pixels = camera.project(corners)
    width, height = camera.size
    (left, top), (right, bottom) = pixels.min(axis=0).tolist(), pixels.max(axis=0).tolist()
    rows = slice(max(math.floor(top), 0), min(math.ceil(bottom), height))
    columns = slice(max(math.floor(left), 0), min(math.ceil(right), width))
    return None if rows.start >= rows.stop or columns.start >= columns.stop else (rows, columns)


def _curved_depth(part: Part, rays_x: np.ndarray, rays_y: np.ndarray) -> np.ndarray:
    """Depth of the nearest point of a clipped quadric on each ray (x, y, 1), inf where there is none."""
    quadric, clip = part.quadric, part.clip
    x, y = rays_x[None, :], rays_y[:, None]
    square = (quadric[0, 0] * x + 2 * quadric[0, 2]) * x + quadric[2, 2] + (quadric[1, 1] * y + 2 * quadric[1, 2]) * y
    square += (2 * quadric[0, 1] * y) * x
    middle = (quadric[0, 3] * x + quadric[2, 3]) + quadric[1, 3] * y
    root = middle * middle
    root -= square * quadric[3, 3]
    hidden = root <= 0
    np.sqrt(root, out=root, where=~hidden)
    square[np.abs(square) < 1e-12] = 1e-12
    near = np.where(square > 0, -middle - root, -middle + root) / square
    if clip is None:
        near[hidden | (near < NEAR)] = np.inf
        return near
    far = -2 * middle / square - near  # the sum of both roots
    slope = (clip[0] * x + clip[2]) + clip[1] * y
    for root_depth in (near, far):
        place = slope * root_depth
        place += clip[3]
        root_depth[hidden | (place < 0) | (place > 1) | (root_depth < NEAR)] = np.inf
    return np.minimum(near, far)


def _flat_depth(part: Part, camera: Camera, window: tuple, rays_x: np.ndarray, rays_y: np.ndarray) -> np.ndarray:
    rows, columns = window
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    pixels = camera.project(part.corners) - (columns.start + 0.5, rows.start + 0.5)
    cv2.fillConvexPoly(mask, np.round(pixels * (1 << _SHIFT)).astype(np.int32), 1, cv2.LINE_8, _SHIFT)
    normal, constant = 2 * part.quadric[:3, 3], part.quadric[3, 3]
    slope = (normal[0] * rays_x[None, :] + normal[2]) + normal[1] * rays_y[:, None]
    with np.errstate(divide="ignore"):
        depth = -constant / slope
    depth[(mask == 0) | (depth < NEAR)] = np.inf
    return depth
