"""The stage: camera, lamp, floor, furniture and shadow round a figure, what hides it, and the camera's own faults."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from stm32pose.data.synthetic_background import Ground, along
from stm32pose.data.synthetic_body import SIDES, Figure, Pose, lowest, turn
from stm32pose.data.synthetic_clothes import SKIN, any_colour, cloth, pick
from stm32pose.data.synthetic_render import Camera, Part, box
from stm32pose.data.synthetic_shading import Light

ZOOMED = 0.14
"""Share of images in which the person is larger than the image."""
OCCLUDED = 0.3
"""Share of images with something flat in front of the person, besides furniture."""

BONES: tuple[tuple[str, str], ...] = (
    ("pelvis", "spine"), ("spine", "neck"), ("neck", "head_top"), ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
    *((f"{side}_{start}", f"{side}_{end}") for side, _ in SIDES for start, end in (
        ("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "fingertip"), ("hip", "knee"), ("knee", "ankle"),
        ("heel", "toe"), ("shoulder", "hip"),
    )),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Stage:
    """A figure in camera axes, with the camera, the floor and the lamp."""

    figure: Figure
    camera: Camera
    ground: Ground
    light: Light


def set_stage(rng: np.random.Generator, figure: Figure, pose: Pose, size: tuple[int, int]) -> Stage:
    """Put a camera and a lamp before a figure in world axes, so that an image of `size` (W, H) shows it."""
    floor = lowest(figure) - pose.lift
    cloud = np.array(list(figure.points.values()))
    middle = (cloud.max(axis=0) + cloud.min(axis=0)) / 2
    tall = 4.2 * (figure.body.thigh + figure.body.shank) / 2
    distance = float(tall * np.exp(rng.uniform(np.log(1.5), np.log(4.5))))
    above = float(np.clip(rng.normal(5, 11), -16, 48))
    roll = float(np.clip(rng.normal(0, 5), -18, 18)) if rng.random() < 0.95 else float(rng.uniform(-35, 35))
    rotation = turn("z", roll) @ turn("x", above) @ np.diag([1.0, -1.0, -1.0])
    shift = np.array([0.0, 0.0, distance]) - rotation @ middle
    seen = figure.moved(rotation, shift)
    up = rotation[:, 1]
    level = float(up @ (rotation @ np.array([0.0, floor, 0.0]) + shift))
    return Stage(seen, _aim(rng, seen, size), Ground(up, level, distance), _lamp(rng, rotation))


def _aim(rng: np.random.Generator, figure: Figure, size: tuple[int, int]) -> Camera:
    """Focal length and centre for which the figure fills a random share of the image."""
    points = np.array([figure.points[name] for name in figure.points])
    reach = np.array([figure.reach[name] for name in figure.points])
    flat, spread = points[:, :2] / points[:, 2:], (reach / points[:, 2])[:, None]
    low, high = (flat - spread).min(axis=0), (flat + spread).max(axis=0)
    fit = float((np.array(size) / (high - low)).min())
    # mostly large, as a detector would crop a person; sometimes small, sometimes cut off by the image's edge
    share = rng.uniform(1.08, 1.75) if rng.random() < ZOOMED else 0.52 + 0.46 * rng.random() ** 0.6
    focal = fit * float(share)
    slack = np.array(size) - focal * (high - low)
    place = rng.uniform(0, 1, 2) if share <= 1 else rng.uniform(0.15, 0.85, 2)
    centre = slack * place - focal * low
    return Camera(focal, (float(centre[0]), float(centre[1])), size)


def _lamp(rng: np.random.Generator, rotation: np.ndarray) -> Light:
    angle, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 1.3)
    direction = rotation @ np.array([np.cos(height) * np.sin(angle), np.sin(height), np.cos(height) * np.cos(angle)])
    if direction[2] > 0.35 and rng.random() < 0.7:  # seldom straight from behind
        direction[2] *= -1
    strength = float(rng.uniform(0.25, 0.85))
    warm = float(rng.normal(0, 0.06))
    ambient = float(np.clip(1.16 - 0.75 * strength + rng.normal(0, 0.08), 0.35, 1.1))
    return Light(direction, rotation[:, 1], strength, ambient, (1 + warm, 1.0, 1 - warm))


def furniture(rng: np.random.Generator, stage: Stage, pose: Pose) -> list[Part]:
    """Boxes that stand on the floor: a seat under who sits, things beside or behind, sometimes a table in front."""
    figure, ground = stage.figure, stage.ground
    up, pelvis = ground.up, figure.points["pelvis"]
    front = figure.frames["pelvis"][:, 2]
    front = front - up * (up @ front)
    if np.linalg.norm(front) < 0.2:
        front = np.array([0.0, 0.0, 1.0]) - up * up[2]
    front /= np.linalg.norm(front)
    axes = np.stack([np.cross(up, front), up, front], axis=1)
    parts: list[Part] = []
    height = float(up @ pelvis) - ground.level

    def stand(place: np.ndarray, half: np.ndarray, turned: float) -> None:
        base = place - up * (up @ place - ground.level - half[1])
        parts.extend(box(base, axes @ turn("y", turned), half, cloth(rng), person=False))

    if pose.family == "sitting" and height > 0.2 and rng.random() < 0.75:
        top = height - 0.1 * figure.body.scale * (0.6 + 0.4 * figure.body.girth)
        half = np.array([rng.uniform(0.2, 0.6), top / 2, rng.uniform(0.17, 0.24)])
        stand(pelvis - front * (half[2] - 0.13 * figure.body.scale), half, 0.0)
        if rng.random() < 0.5:  # a back
            tall = np.array([half[0], top / 2 + rng.uniform(0.15, 0.35), 0.04])
            stand(pelvis - front * (2 * half[2] + 0.04), tall, 0.0)
    for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.5, 0.25, 0.15, 0.1]))):
        angle = rng.uniform(0, 2 * np.pi)
        away = np.cos(angle) * np.cross(up, front) + np.sin(angle) * front
        half = rng.uniform((0.1, 0.15, 0.1), (0.5, 0.8, 0.5))
        place = pelvis + away * (1.0 + half[0] + rng.uniform(0, 1.5))
        if place[2] > ground.distance + 0.3:
            stand(place, half, float(rng.uniform(0, 90)))
    if pose.family in ("standing", "sitting", "reaching", "arms_up") and rng.random() < 0.1:
        toward = -np.array([0.0, 0.0, 1.0]) + up * up[2]
        toward /= np.linalg.norm(toward)
        half = np.array([rng.uniform(0.25, 0.9), rng.uniform(0.5, 0.9) * max(height, 0.3) / 2, rng.uniform(0.1, 0.3)])
        stand(pelvis + toward * (0.75 * figure.body.scale + half[2]), half, float(rng.uniform(0, 180)))
    return parts


def cast_shadow(rng: np.random.Generator, picture: np.ndarray, stage: Stage) -> None:
    """Darken the floor, in place, where the figure stands in the lamp's light."""
    ground, camera, toward = stage.ground, stage.camera, stage.light.direction
    rise = float(ground.up @ toward)
    if rise < 0.15:
        return
    mask = np.zeros(picture.shape[:2], np.uint8)
    for start, end in BONES:
        ends = np.stack([stage.figure.points[start], stage.figure.points[end]])
        height = ends @ ground.up - ground.level
        fallen = ends - (height / rise)[:, None] * toward
        if fallen[:, 2].min() < 0.3:
            continue
        pixels = camera.project(fallen) - 0.5
        if np.abs(pixels).max() > 4000:
            continue
        radius = max(stage.figure.reach[start] * 0.5 + stage.figure.reach[end] * 0.5, 0.03)
        width = max(1, round(2 * 0.8 * radius * camera.focal / float(fallen[:, 2].mean())))
        one, two = (tuple(int(value) for value in np.round(row)) for row in pixels)
        cv2.line(mask, one, two, 255, min(width, 200), cv2.LINE_AA)
    soft = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.8, 6.0))).astype(np.float32) / 255
    on_floor = along(camera, ground.up) < 0
    dark = float(rng.uniform(0.15, 0.6)) * stage.light.strength / 0.85
    picture *= (1 - dark * soft * on_floor)[..., None]


def occlude(rng: np.random.Generator, size: tuple[int, int], bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Things between the camera and the person.

    Args:
        size: (W, H) of the image.
        bounds: (left, top, right, bottom) of the person.

    Returns:
        float32 [H, W, 3] RGB and float32 [H, W] opacity 0..1.
    """
    width, height = size
    paint, alpha = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    if rng.random() >= OCCLUDED:
        return paint.astype(np.float32), alpha.astype(np.float32)
    left, top, right, bottom = bounds
    wide, tall = right - left, bottom - top
    for _ in range(int(rng.choice([1, 2, 3], p=[0.65, 0.25, 0.1]))):
        x, y = left + wide * rng.uniform(0.0, 1.0), top + tall * rng.uniform(0.15, 1.0)
        kind = pick(rng, {"slab": 2.0, "post": 1.2, "disc": 1.0, "leaves": 1.2, "bar": 0.8, "arm": 0.8})
        tint = any_colour(rng)
        if kind == "slab":
            shape = ((x, y), (wide * rng.uniform(0.15, 0.5), tall * rng.uniform(0.1, 0.3)), rng.normal(0, 15))
            polygons = [cv2.boxPoints(shape)]
        elif kind == "post":
            polygons = [
                cv2.boxPoints(((x, height / 2), (wide * rng.uniform(0.05, 0.16), height * 1.2), rng.normal(0, 3)))
            ]
        elif kind == "bar":
            polygons = [
                cv2.boxPoints(((width / 2, y), (width * 1.3, tall * rng.uniform(0.03, 0.09)), rng.normal(0, 5)))
            ]
        elif kind == "disc":
            radii = (int(wide * rng.uniform(0.08, 0.25)) + 2, int(tall * rng.uniform(0.06, 0.18)) + 2)
            polygons = [cv2.ellipse2Poly((int(x), int(y)), radii, int(rng.uniform(0, 180)), 0, 360, 12)]
        elif kind == "leaves":
            polygons = [
                cv2.ellipse2Poly(
                    (int(x + rng.normal(0, wide * 0.12)), int(bottom - abs(rng.normal(0, tall * 0.16)))),
                    (int(tall * rng.uniform(0.05, 0.12)) + 2, int(tall * rng.uniform(0.012, 0.035)) + 1),
                    int(rng.uniform(0, 180)), 0, 360, 20,
                )
                for _ in range(int(rng.integers(5, 22)))
            ]  # fmt: skip
        else:  # somebody else's limb
            tint = SKIN[int(rng.integers(len(SKIN)))]
            shape = ((x, y), (tall * rng.uniform(0.25, 0.5), tall * rng.uniform(0.05, 0.09)), rng.uniform(0, 180))
            polygons = [cv2.boxPoints(shape)]
        for polygon in polygons:
            light = float(rng.uniform(0.6, 1.1)) if kind == "leaves" else 1.0
            colour = tuple(min(255.0, value * light) for value in tint)
            corners = np.round(np.asarray(polygon) * 16 - 8).astype(np.int32)
            cv2.fillConvexPoly(paint, corners, colour, cv2.LINE_8, 4)
            cv2.fillConvexPoly(alpha, corners, 255, cv2.LINE_AA, 4)
    # dilate the colours a little so that half-covered edge pixels have one
    paint = np.where(paint.any(axis=2, keepdims=True), paint, cv2.dilate(paint, np.ones((3, 3), np.uint8)))
    slope = np.linspace(rng.uniform(0.7, 1.1), rng.uniform(0.7, 1.1), height, dtype=np.float32)[:, None, None]
    return paint * slope, alpha.astype(np.float32) / 255


def expose(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """What a cheap camera makes of a scene, float -> uint8 [H, W, 3]: exposure, cast, vignetting, blur, noise."""
    height, width = picture.shape[:2]
    gain = float(np.exp(rng.normal(0.06, 0.2)))
    cast = np.exp(rng.normal(0, 0.05, 3)).astype(np.float32)
    picture = picture * (gain * cast)
    if rng.random() < 0.4:
        y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        picture *= (1 - float(rng.uniform(0.05, 0.45)) * np.clip((x * x + y * y) / 2, 0, 1))[..., None].astype(
            np.float32
        )
    if rng.random() < 0.25:  # flat light: less contrast, less colour
        fade = float(rng.uniform(0.1, 0.4))
        picture = picture * (1 - fade) + fade * rng.uniform(60, 190)
    if rng.random() < 0.06:
        picture[:] = picture.mean(axis=2, keepdims=True)
    choice = rng.random()
    if choice < 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.35, 1.3)))
    elif choice < 0.31:
        length = int(rng.integers(2, 6))
        kernel = np.zeros((2 * length + 1,) * 2, np.float32)
        angle = rng.uniform(0, np.pi)
        step = np.round(length * np.array([np.cos(angle), np.sin(angle)]) / 2).astype(int)
        start, end = tuple((length - step).tolist()), tuple((length + step).tolist())
        cv2.line(kernel, start, end, 1.0)
        picture = cv2.filter2D(picture, -1, kernel / kernel.sum())
    sigma = float(rng.choice([0.0, rng.uniform(0.5, 4), rng.uniform(4, 11)], p=[0.25, 0.55, 0.2]))
    if sigma:
        picture = picture + rng.standard_normal(picture.shape, np.float32) * sigma
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
