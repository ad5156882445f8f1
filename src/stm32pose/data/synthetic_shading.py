"""Light and surface patterns on what the ray caster hit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stm32pose.data.synthetic_body import FACE, HEAD_SEMI
from stm32pose.data.synthetic_render import Camera, Material, Part


@dataclass(frozen=True)
class Light:
    """One lamp far away and light from all round.

    Attributes:
        direction: [3], unit, from the scene towards the lamp, camera axes.
        strength: of the lamp; `ambient` of the light from all round, stronger from above (`up`, camera axes).
        colour: RGB factors of the lamp.
    """

    direction: np.ndarray
    up: np.ndarray
    strength: float
    ambient: float
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)


def shade(
    parts: Sequence[Part],
    part_index: np.ndarray,
    part_depth: np.ndarray,
    camera: Camera,
    light: Light,
    grain: np.ndarray,
) -> np.ndarray:
    """Colour of every hit pixel.

    Args:
        part_index: which of `parts` each pixel shows, -1 for none, and `part_depth` its depth: `Buffers`, [H, W].
        grain: float32 [n, n] in about -1..1, a tile of noise for rough surfaces.

    Returns:
        float32 [H, W, 3] RGB 0..255, zero where nothing was hit.
    """
    picture = np.zeros((*part_index.shape, 3), np.float32)
    pixels = np.flatnonzero(part_index >= 0)
    if not len(pixels):
        return picture
    which = part_index.ravel()[pixels]
    order = np.argsort(which, kind="stable")  # one slice a part
    pixels, counts = pixels[order], np.bincount(which, minlength=len(parts))
    depth = part_depth.ravel()[pixels]
    points = np.empty((4, len(pixels)))
    points[0] = (pixels % camera.size[0] + (0.5 - camera.centre[0])) * (depth / camera.focal)
    points[1] = (pixels // camera.size[0] + (0.5 - camera.centre[1])) * (depth / camera.focal)
    points[2], points[3] = depth, 1.0
    colours = np.empty((len(pixels), 3), np.float32)
    normals = np.empty((3, len(pixels)), np.float32)
    gloss = np.empty(len(pixels), np.float32)
    start = 0
    for part, count in zip(parts, counts, strict=True):
        if count == 0:
            continue
        mine = slice(start, start + count)
        start += count
        normals[:, mine] = part.quadric[:3] @ points[:, mine]
        local = (part.frame @ points[:, mine]).astype(np.float32)
        colour = surface_colour(part.material, local, grain)
        gloss[mine] = part.material.gloss
        if part.other is not None:
            second = np.asarray(part.split[:3], np.float32) @ local + np.float32(part.split[3]) > 0
            if second.any():
                colour[second] = surface_colour(part.other, local[:, second], grain)
                gloss[mine][second] = part.other.gloss
        colours[mine] = colour
    colours *= _lighting(points[:3].astype(np.float32), normals, gloss, light)
    picture.reshape(-1, 3)[pixels] = colours
    return picture


def _lighting(points: np.ndarray, normals: np.ndarray, gloss: np.ndarray, light: Light) -> np.ndarray:
    """RGB factors [n, 3]: wrapped diffuse light, a hemisphere of ambient light, a highlight, darker grazing rims.

    `points` and `normals` are [3, n].
    """
    normals *= 1 / np.sqrt(np.maximum(_dot(normals, normals), 1e-24))
    facing = -_dot(normals, points) / np.sqrt(_dot(points, points))
    inside = facing < 0  # the far wall of a sleeve or skirt seen through its opening
    normals *= np.where(inside, np.float32(-1), np.float32(1))
    half = light.direction + np.array([0.0, 0.0, -1.0])
    half /= max(float(np.linalg.norm(half)), 1e-6)
    lamp, sky, shine = np.stack([light.direction, light.up, half]).astype(np.float32) @ normals
    diffuse = np.clip((lamp + 0.25) / 1.25, 0.0, 1.0)
    shine = np.maximum(shine, 0)
    for _ in range(4):  # to the power of 16
        shine *= shine
    base = light.ambient * (0.72 + 0.28 * sky) * (0.72 + 0.28 * np.sqrt(np.abs(facing)))
    base[inside] *= 0.4
    diffuse[inside] *= 0.3
    lit = light.strength * diffuse + gloss * shine
    return base[:, None] + lit[:, None] * np.asarray(light.colour, np.float32)


def _dot(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    return one[0] * two[0] + one[1] * two[1] + one[2] * two[2]


def surface_colour(material: Material, local: np.ndarray, grain: np.ndarray) -> np.ndarray:
    """RGB 0..255 float32 [n, 3] of a material at pattern coordinates `local` [3, n] in metres."""
    colour = np.empty((local.shape[1], 3), np.float32)
    colour[:] = material.colour
    if material.pattern != "plain":
        weight = PATTERNS[material.pattern](local / np.float32(material.period), material.phase, grain)
        colour += weight[:, None] * (np.asarray(material.second, np.float32) - colour)
    if material.face is not None:
        paint_face(colour, local, material.face)
    if material.rough:
        colour *= (1 + material.rough * _noise(local * np.float32(14), material.phase, grain))[:, None]
    return colour


def _noise(local: np.ndarray, phase: float, grain: np.ndarray) -> np.ndarray:
    """Values of the noise tile at places that differ in all three coordinates, about -1..1."""
    size = len(grain)
    column = (local[0] * 11 + local[2] * 7 + phase * 37).astype(np.int32) % size
    row = (local[1] * 11 + local[2] * 4 + phase * 17).astype(np.int32) % size
    return grain[row, column]


def _square(values: np.ndarray) -> np.ndarray:
    return (np.sin(values * (2 * np.pi)) > 0).astype(np.float32)


def _dots(local: np.ndarray, phase: float, grain: np.ndarray) -> np.ndarray:
    return (np.hypot((local[0] + phase) % 1 - 0.5, (local[1] + phase) % 1 - 0.5) < 0.27).astype(np.float32)


def _blotches(local: np.ndarray, phase: float, grain: np.ndarray) -> np.ndarray:
    return (_noise(local, phase, grain) > 0.1).astype(np.float32)


def _print_on_chest(local: np.ndarray, phase: float, grain: np.ndarray) -> np.ndarray:
    """A patch on the front only, about 14 cm wide at a period of 0.1 m."""
    inside = (np.abs(local[0]) < 0.75) & (np.abs(local[1] - 1.35) < 0.2 + 0.1 * phase) & (local[2] > 0)
    return inside.astype(np.float32)


def _open_front(local: np.ndarray, phase: float, grain: np.ndarray) -> np.ndarray:
    """A strip down the front: an open jacket, a tie or a row of buttons, by the period."""
    return ((np.abs(local[0]) < 0.22) & (local[2] > 0)).astype(np.float32)


PATTERNS: dict[str, Callable[[np.ndarray, float, np.ndarray], np.ndarray]] = {
    "hoops": lambda local, phase, grain: _square(local[1] + phase),
    "stripes": lambda local, phase, grain: _square(local[0] + phase),
    "diagonal": lambda local, phase, grain: _square(local[0] + local[1] + phase),
    "checks": lambda local, phase, grain: np.abs(_square(local[0] + phase) - _square(local[1] + phase)),
    "tartan": lambda local, phase, grain: (_square(local[0] + phase) + _square(local[1])) / 2,
    "dots": _dots,
    "blotches": _blotches,
    "print": _print_on_chest,
    "open": _open_front,
    "halves": lambda local, phase, grain: (local[1] > 1.0 + phase / 4).astype(np.float32),
    "gradient": lambda local, phase, grain: np.clip(local[1] / 4 + 0.4, 0, 1),
}
"""name -> f(coordinates in periods [3, n], phase, noise tile) -> weight 0..1 of the second colour [n]."""


def paint_face(colour: np.ndarray, local: np.ndarray, look: dict) -> None:
    """Paint hair, eyes, brows, mouth and beard on the head's colours in place.

    Args:
        local: [3, n], left, up and front of the middle of the head, in units of an adult's metres.
        look: `hair`, `lips`, `iris` RGB; `hairline` and `nape` (heights in half heads); `beard`, `brows`, `glasses` and
            `bald` true or false.
    """
    x, y, z = local
    half_height, half_depth = np.float32(HEAD_SEMI[1]), np.float32(HEAD_SEMI[2])
    front = z / half_depth
    height = y / half_height
    forward = front > 0
    if not look["bald"]:
        # hair ends on a line that drops from the forehead to the nape
        line = np.float32(look["nape"]) + (look["hairline"] - look["nape"]) * np.clip(front * 0.75 + 0.55, 0, 1)
        _paint(colour, height > line, look["hair"])
    if look["beard"]:
        below = forward & (height < -0.34) & (np.hypot(x / 0.026, (y + 0.062) / 0.013) > 1)
        _paint(colour, below, look["hair"])
    eye_x, eye_y, _ = FACE["left_eye"]
    distance_x, distance_y = np.abs(x) - np.float32(eye_x), y - np.float32(eye_y)
    _paint(colour, forward & (np.hypot(distance_x / 0.0175, distance_y / 0.0125) < 1), look["white"])
    _paint(colour, forward & (np.hypot(distance_x, distance_y) < 0.0088), look["iris"])
    if look["brows"]:
        arch = np.abs(distance_y - 0.024 + 6 * distance_x**2) < 0.0048
        _paint(colour, forward & arch & (np.abs(distance_x) < 0.02), look["hair"])
    if look["glasses"]:
        ring = np.hypot(distance_x / 0.027, distance_y / 0.022)
        frame = ((ring > 0.82) & (ring < 1.1)) | ((np.abs(distance_y) < 0.004) & (np.abs(distance_x) > 0.024))
        _paint(colour, forward & frame, look["glasses"])
    mouth = np.hypot(x / 0.0265, (y - FACE["mouth"][1]) / look["mouth"]) < 1
    _paint(colour, forward & mouth, look["lips"])


def _paint(colour: np.ndarray, where: np.ndarray, paint: Sequence[float]) -> None:
    colour[where] = np.asarray(paint, np.float32)
