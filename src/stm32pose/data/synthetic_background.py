"""What lies behind the person: rooms and landscapes in the camera's perspective, flat patterns, and clutter.

A new background is a function in `BACKGROUNDS`; a new surface of floors and walls one in `TILES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from stm32pose.data.synthetic_clothes import SKIN, any_colour, pick
from stm32pose.data.synthetic_render import Camera

TILE = 128
"""Pixels of a side of the tiles that floors and walls repeat."""


@dataclass(frozen=True, eq=False)
class Ground:
    """The floor in camera axes: points P with up . P = level; `distance` to the person along the view, in metres."""

    up: np.ndarray
    level: float
    distance: float


def fractal_noise(
    rng: np.random.Generator, height: int, width: int, *, coarse: int = 2, octaves: int = 5
) -> np.ndarray:
    """Smooth noise, float32 [H, W] of mean about 0 and range about -1..1: octaves of enlarged random grids."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cells = coarse << octave
        if cells > max(height, width):
            break
        grid = rng.uniform(-1, 1, (cells + 2, cells + 2)).astype(np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * 0.55**octave
    return total * 0.6


def draw_background(rng: np.random.Generator, camera: Camera, ground: Ground) -> np.ndarray:
    """float32 [H, W, 3] RGB 0..255: one of `BACKGROUNDS`, with clutter on it."""
    kind = pick(rng, {name: weight for name, (weight, _) in BACKGROUNDS.items()})
    picture = BACKGROUNDS[kind][1](rng, camera, ground)
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    amount = rng.random()
    if amount > 0.25:
        _clutter(rng, picture, int(amount**2 * 16))
    if rng.random() < 0.35:
        for _ in range(int(rng.integers(1, 4))):
            _false_limb(rng, picture)
    if rng.random() < 0.5:  # out of focus
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.5, 2.6)))
    return picture.astype(np.float32)


def along(camera: Camera, direction: np.ndarray) -> np.ndarray:
    """float32 [H, W]: the ray (x, y, 1) through each pixel's centre, projected on `direction` [3]."""
    width, height = camera.size
    x = (np.arange(width) + 0.5 - camera.centre[0]) / camera.focal * direction[0] + direction[2]
    y = (np.arange(height) + 0.5 - camera.centre[1]) / camera.focal * direction[1]
    return x.astype(np.float32)[None, :] + y.astype(np.float32)[:, None]


def _room(rng: np.random.Generator, camera: Camera, ground: Ground) -> np.ndarray:
    """A floor and walls, each a repeated tile seen in perspective."""
    across, away = _floor_axes(ground.up)
    angle = np.radians(rng.uniform(-50, 50))
    facing = -(np.cos(angle) * away + np.sin(angle) * across)
    aside = np.cross(facing, ground.up)
    person = np.array([0, 0, ground.distance])
    planes = [(ground.up, ground.level, across, away)]
    back = float(rng.uniform(0.5, 4.5))
    planes.append((facing, float(facing @ person) - back, aside, ground.up))
    if rng.random() < 0.75:
        sign = 1.0 if rng.random() < 0.5 else -1.0
        planes.append((sign * aside, sign * float(aside @ person) - float(rng.uniform(0.8, 4.0)), facing, ground.up))
    if rng.random() < 0.5:
        planes.append((-ground.up, -ground.level - float(rng.uniform(2.3, 3.6)), across, away))
    width, height = camera.size
    nearest = np.full((height, width), np.inf, np.float32)
    picture = np.full((height, width, 3), rng.uniform(20, 220), np.float32)
    for number, (normal, level, first, second) in enumerate(planes):
        slope = along(camera, normal)
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = np.float32(level) / slope
        mask = (depth > 0.1) & (depth < nearest)
        if not mask.any():
            continue
        np.copyto(nearest, depth, where=mask)
        tile = TILES[pick(rng, FLOORS if number == 0 else WALLS)](rng)
        surface = _lay(rng, tile, camera, np.where(mask, depth, np.float32(1)), first, second)
        surface *= (rng.uniform(0.65, 1.1) / (1 + 0.06 * np.clip(depth, 0, 30)))[..., None]
        np.copyto(picture, surface, where=mask[..., None])
    return picture


def _floor_axes(up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Level directions across the view and away from the camera."""
    away = np.array([0.0, 0.0, 1.0]) - up * up[2]
    away /= np.linalg.norm(away)
    return np.cross(up, away), away


def _lay(
    rng: np.random.Generator, tile: np.ndarray, camera: Camera, depth: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:  # fmt: skip
    """The tile repeated over a plane: float32 [H, W, 3]. Far away it fades into its mean, as a lens would do."""
    metres = float(np.exp(rng.uniform(np.log(0.35), np.log(1.8))))
    scale = np.float32(TILE / metres)
    column = along(camera, first) * (depth * scale) + np.float32(rng.uniform(0, TILE))
    row = along(camera, second) * (depth * scale) + np.float32(rng.uniform(0, TILE))
    limit = 30000  # cv2.remap counts in 16 bits
    surface = cv2.remap(
        tile, np.clip(column, -limit, limit), np.clip(row, -limit, limit), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    far = np.clip(1 - 8.0 / np.maximum(depth, 0.1), 0, 1)
    if far.any():
        surface += (tile.mean(axis=(0, 1)) - surface) * far[..., None]
    return surface


def _outdoor(rng: np.random.Generator, camera: Camera, ground: Ground) -> np.ndarray:
    """Ground to the horizon, a sky with clouds, and hills, houses or trees between them."""
    width, height = camera.size
    slope = along(camera, ground.up)
    zenith, haze = np.array(_sky(rng)), rng.uniform(150, 245, 3) * (1, 1, 1.05)
    lift = np.clip(slope * float(rng.uniform(0.8, 2.5)), 0, 1)[..., None]
    picture = haze.astype(np.float32) + lift * (zenith - haze).astype(np.float32)
    clouds = np.clip(fractal_noise(rng, height, width, coarse=3) - rng.uniform(-0.1, 0.5), 0, 1)[..., None]
    picture += (rng.uniform(190, 250) - picture) * clouds * np.float32(rng.uniform(0, 1.2))
    horizon = int(np.clip(np.median(np.abs(slope).argmin(axis=0)), -height, 2 * height))
    picture = _skyline(rng, np.clip(picture, 0, 255).astype(np.uint8), horizon).astype(np.float32)
    below = slope < 0
    depth = np.where(below, np.float32(ground.level) / np.minimum(slope, np.float32(-1e-4)), np.float32(1))
    if below.any():
        across, away = _floor_axes(ground.up)
        tile = TILES[pick(rng, {"noise": 3.0, "grass": 3.0, "tiles": 0.7, "asphalt": 1.5})](rng)
        floor = _lay(rng, tile, camera, depth, across, away)
        floor += (haze.astype(np.float32) - floor) * np.clip(depth / 60, 0, 0.8)[..., None]
        np.copyto(picture, floor, where=below[..., None])
    return picture


def _sky(rng: np.random.Generator) -> tuple[float, float, float]:
    blue = rng.uniform(120, 245)
    return (float(blue * rng.uniform(0.3, 0.9)), float(blue * rng.uniform(0.55, 0.95)), float(blue))


def _skyline(rng: np.random.Generator, picture: np.ndarray, horizon: int) -> np.ndarray:
    height, width = picture.shape[:2]
    for _ in range(int(rng.integers(0, 4))):
        kind = rng.random()
        if kind < 0.4:  # hills
            rise = np.interp(np.arange(width), np.linspace(0, width, 9), rng.uniform(0, 1, 9)) * rng.uniform(
                5, 0.35 * height
            )
            edge = np.stack([np.arange(width), horizon - rise], axis=1)
            outline = np.vstack([edge, [[width, horizon + 4], [0, horizon + 4]]]).astype(np.int32)
            cv2.fillPoly(picture, [outline], _dull(rng))
        elif kind < 0.7:  # houses
            for _ in range(int(rng.integers(1, 6))):
                left, wide, tall = (
                    rng.integers(-20, width),
                    rng.integers(15, 90),
                    rng.integers(15, max(16, height // 2)),
                )
                wall = _dull(rng)
                cv2.rectangle(picture, (int(left), int(horizon - tall)), (int(left + wide), int(horizon)), wall, -1)
                pane, step = _dull(rng), int(rng.integers(7, 18))
                for y in range(int(horizon - tall) + 4, int(horizon) - step // 2, step):
                    for x in range(int(left) + 4, int(left + wide) - step // 2, step):
                        cv2.rectangle(picture, (x, y), (x + step // 2, y + step // 2), pane, -1)
        else:  # trees
            for _ in range(int(rng.integers(1, 6))):
                x, tall, leaf = int(rng.integers(0, width)), int(rng.integers(20, 110)), _leaf(rng)
                cv2.line(picture, (x, horizon), (x, horizon - tall), (70, 52, 38), max(2, tall // 14))
                for _ in range(9):
                    spot = (x + int(rng.normal(0, tall / 6)), horizon - tall + int(rng.normal(0, tall / 6)))
                    tint = tuple(int(np.clip(value + rng.normal(0, 12), 0, 255)) for value in leaf)
                    cv2.circle(picture, spot, max(2, int(tall * rng.uniform(0.08, 0.2))), tint, -1, cv2.LINE_AA)
    return picture


def _gradient(rng: np.random.Generator, camera: Camera, ground: Ground) -> np.ndarray:
    width, height = camera.size
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    place = (np.cos(angle) * (x / width - 0.5) + np.sin(angle) * (y / height - 0.5) + 0.7) / 1.4
    first, second = np.array(any_colour(rng)), np.array(any_colour(rng))
    soft = fractal_noise(rng, height, width)[..., None] * rng.uniform(0, 30)
    return (first + (second - first) * np.clip(place, 0, 1)[..., None] + soft).astype(np.float32)


def _noise(rng: np.random.Generator, camera: Camera, ground: Ground) -> np.ndarray:
    """Blotches of two or three colours."""
    width, height = camera.size
    first, second, third = (np.array(any_colour(rng), np.float32) for _ in range(3))
    one = fractal_noise(rng, height, width, coarse=int(rng.integers(2, 9)), octaves=6)
    two = fractal_noise(rng, height, width, coarse=int(rng.integers(2, 9)), octaves=4)
    hard = float(np.exp(rng.uniform(0, 2.5)))
    mix = 1 / (1 + np.exp(-hard * 2 * one))[..., None]
    return first * mix + second * (1 - mix) + (third - first) * np.clip(two, 0, 1)[..., None] * 0.6


def _pattern(rng: np.random.Generator, camera: Camera, ground: Ground) -> np.ndarray:
    """A tile repeated flat over the image, turned and scaled."""
    width, height = camera.size
    tile = TILES[pick(rng, WALLS)](rng)
    angle, scale = rng.uniform(0, 360), float(np.exp(rng.uniform(-0.7, 1.2)))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), float(angle), scale)
    return cv2.warpAffine(tile, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _shards(rng: np.random.Generator, camera: Camera, ground: Ground) -> np.ndarray:
    """Overlapping polygons of all colours."""
    width, height = camera.size
    picture = np.full((height, width, 3), any_colour(rng), np.uint8)
    _clutter(rng, picture, int(rng.integers(25, 60)), largest=0.6)
    return picture.astype(np.float32)


def _clutter(rng: np.random.Generator, picture: np.ndarray, count: int, *, largest: float = 0.28) -> None:
    """Rectangles, ellipses, triangles, rods and framed pictures at random places, drawn in place."""
    height, width = picture.shape[:2]
    for _ in range(count):
        x, y = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        half = (rng.uniform(0.02, largest, 2) ** 1.2 * (width, height)).astype(int) + 2
        colour = tuple(any_colour(rng))
        kind, angle = int(rng.integers(0, 5)), float(rng.choice([0.0, rng.uniform(0, 180)]))
        if kind in (0, 4):
            corners = cv2.boxPoints(((x, y), (float(half[0]) * 2, float(half[1]) * 2), angle)).astype(np.int32)
            cv2.fillConvexPoly(picture, corners, colour, cv2.LINE_AA)
            if kind == 4:
                inner = cv2.boxPoints(((x, y), (half[0] * 1.7, half[1] * 1.7), angle)).astype(np.int32)
                cv2.fillConvexPoly(picture, inner, tuple(any_colour(rng)), cv2.LINE_AA)
        elif kind == 1:
            cv2.ellipse(picture, (x, y), (int(half[0]), int(half[1])), angle, 0, 360, colour, -1, cv2.LINE_AA)
        elif kind == 2:
            corners = (rng.uniform(-1, 1, (3, 2)) * half + (x, y)).astype(np.int32)
            cv2.fillConvexPoly(picture, corners, colour, cv2.LINE_AA)
        else:
            end = (rng.normal(0, 1, 2) * half * 1.5 + (x, y)).astype(int)
            cv2.line(picture, (x, y), (int(end[0]), int(end[1])), colour, int(rng.integers(1, 9)), cv2.LINE_AA)


def _false_limb(rng: np.random.Generator, picture: np.ndarray) -> None:
    """Two or three rounded bones in a row, like an arm or a leg that belongs to nobody."""
    height, width = picture.shape[:2]
    place = rng.uniform(0, 1, 2) * (width, height)
    angle, long = rng.uniform(0, 2 * np.pi), rng.uniform(0.07, 0.22) * height
    thick = long * rng.uniform(0.16, 0.32)
    base = np.array(SKIN[int(rng.integers(len(SKIN)))] if rng.random() < 0.5 else any_colour(rng))
    for _ in range(int(rng.integers(2, 4))):
        end = place + long * np.array([np.cos(angle), np.sin(angle)])
        for width_share, light in ((1.0, 0.72), (0.72, 0.9), (0.4, 1.05)):
            colour = tuple(float(value) for value in np.clip(base * light, 0, 255))
            start_point, end_point = tuple(place.astype(int).tolist()), tuple(end.astype(int).tolist())
            cv2.line(picture, start_point, end_point, colour, max(1, round(2 * thick * width_share)), cv2.LINE_AA)
        place, angle, thick = end, angle + rng.normal(0, 0.9), thick * 0.8
    if rng.random() < 0.4:
        centre = tuple(place.astype(int).tolist())
        cv2.circle(picture, centre, max(2, round(1.3 * thick)), tuple(base.tolist()), -1, cv2.LINE_AA)


def _dull(rng: np.random.Generator) -> tuple[int, int, int]:
    grey = rng.uniform(40, 210)
    red, green, blue = np.clip(grey + rng.normal(0, 18, 3), 0, 255)
    return (int(red), int(green), int(blue))


def _leaf(rng: np.random.Generator) -> tuple[int, int, int]:
    green = rng.uniform(60, 150)
    return (int(green * rng.uniform(0.4, 1.0)), int(green), int(green * rng.uniform(0.25, 0.6)))


def _tile_noise(rng: np.random.Generator) -> np.ndarray:
    """One colour with noise that has no seam."""
    noise = rng.normal(0, 1, (TILE, TILE)).astype(np.float32)
    soft = np.real(np.fft.ifft2(np.fft.fft2(noise) * _low_pass(float(rng.uniform(2, 20)))))
    soft /= max(float(soft.std()), 1e-6)
    return np.clip(np.array(any_colour(rng)) + soft[..., None] * rng.uniform(2, 22), 0, 255).astype(np.float32)


def _low_pass(width: float) -> np.ndarray:
    frequency = np.fft.fftfreq(TILE) * TILE
    return np.exp(-(frequency[:, None] ** 2 + frequency[None, :] ** 2) / (2 * width**2))


def _tile_grass(rng: np.random.Generator) -> np.ndarray:
    """Fine noise of leaves, sand or earth."""
    base = np.array(
        _leaf(rng) if rng.random() < 0.6 else (rng.uniform(120, 200), rng.uniform(100, 170), rng.uniform(60, 120))
    )
    fine = rng.normal(0, 1, (TILE, TILE, 1)) * rng.uniform(6, 22)
    return np.clip(base + cv2.GaussianBlur(fine, (0, 0), 0.8)[..., None] * 1.5, 0, 255).astype(np.float32)


def _tile_asphalt(rng: np.random.Generator) -> np.ndarray:
    grey = rng.uniform(60, 170)
    return np.clip(grey + rng.normal(0, 9, (TILE, TILE, 1)) + np.zeros(3), 0, 255).astype(np.float32)


def _tile_blocks(rng: np.random.Generator) -> np.ndarray:
    """Planks, bricks or square tiles: rows of rectangles, with or without a shift from row to row."""
    rows, columns = (int(rng.choice([2, 4, 8])) for _ in range(2))
    shift = rng.choice([0.0, 0.5, 0.33])
    base, gap = np.array(any_colour(rng)), np.array(any_colour(rng))
    spread = rng.uniform(0, 25)
    tile = np.empty((TILE, TILE, 3), np.float32)
    x, y = np.arange(TILE) / TILE * columns, np.arange(TILE) / TILE * rows
    tint = rng.normal(0, spread, (rows, columns, 1)) + base
    joint = rng.uniform(0.02, 0.12)
    for row in range(TILE):
        line = int(y[row])
        place = np.mod(x + line * shift, columns)
        tile[row] = tint[line, place.astype(int)]
        tile[row, (np.mod(place, 1) < joint) | (np.mod(y[row], 1) < joint * rows / columns)] = gap
    return np.clip(tile + rng.normal(0, rng.uniform(0, 8), (TILE, TILE, 1)), 0, 255).astype(np.float32)


def _tile_stripes(rng: np.random.Generator) -> np.ndarray:
    count = int(rng.choice([1, 2, 4, 8]))
    wave = np.sin(np.arange(TILE) / TILE * 2 * np.pi * count)
    mix = (
        (wave > rng.uniform(-0.6, 0.6)).astype(np.float32) if rng.random() < 0.6 else (wave + 1).astype(np.float32) / 2
    )
    first, second = np.array(any_colour(rng)), np.array(any_colour(rng))
    line = first + (second - first) * mix[:, None]
    tile = np.broadcast_to(line[None] if rng.random() < 0.5 else line[:, None], (TILE, TILE, 3))
    return np.ascontiguousarray(tile, np.float32)


def _tile_checks(rng: np.random.Generator) -> np.ndarray:
    count = int(rng.choice([1, 2, 4]))
    cell = (np.arange(TILE) * 2 * count // TILE) % 2
    mix = (cell[:, None] ^ cell[None, :])[..., None]
    first, second = np.array(any_colour(rng)), np.array(any_colour(rng))
    return (first * mix + second * (1 - mix)).astype(np.float32)


TILES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "noise": _tile_noise,
    "grass": _tile_grass,
    "asphalt": _tile_asphalt,
    "tiles": _tile_blocks,
    "stripes": _tile_stripes,
    "checks": _tile_checks,
}
"""name -> f(rng) -> float32 [TILE, TILE, 3] that repeats without a seam."""

FLOORS: dict[str, float] = {"noise": 3.0, "tiles": 3.0, "asphalt": 1.0, "stripes": 0.7, "checks": 0.8}
WALLS: dict[str, float] = {"noise": 4.0, "tiles": 1.5, "stripes": 1.2, "checks": 0.6}

BACKGROUNDS: dict[str, tuple[float, Callable[[np.random.Generator, Camera, Ground], np.ndarray]]] = {
    "room": (5.0, _room),
    "outdoor": (4.0, _outdoor),
    "gradient": (1.0, _gradient),
    "noise": (1.5, _noise),
    "pattern": (0.8, _pattern),
    "shards": (0.8, _shards),
}
"""name -> (weight, f(rng, camera, ground) -> float32 [H, W, 3])."""
