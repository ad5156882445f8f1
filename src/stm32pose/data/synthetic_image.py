"""One synthetic image of one person with its exact labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from stm32pose.data.sample import HIDDEN, OCCLUDED, VISIBLE
from stm32pose.data.synthetic_background import TILE, draw_background
from stm32pose.data.synthetic_body import Body, Figure, Pose, build_figure, sample_body
from stm32pose.data.synthetic_clothes import sample_outfit
from stm32pose.data.synthetic_figure import figure_parts
from stm32pose.data.synthetic_poses import sample_pose
from stm32pose.data.synthetic_render import Buffers, Camera, Part, cast
from stm32pose.data.synthetic_scene import Stage, cast_shadow, expose, furniture, occlude, set_stage
from stm32pose.data.synthetic_shading import shade
from stm32pose.errors import ConfigError, did_you_mean
from stm32pose.skeletons.skeleton import Skeleton

FINE = 2
"""The person is drawn this many times larger in each direction and averaged down."""
FEWEST = 6
"""Points that an image must show at the least; the camera is placed anew otherwise."""
MEANS: dict[str, tuple[tuple[str, ...], bool]] = {
    "head": (("nose", "left_eye", "right_eye", "left_ear", "right_ear"), False),
}
"""Points that are the mean of others: name -> (their names, whether all of them must be labelled)."""
SPELLINGS: dict[str, str] = {
    "top_of_head": "head_top", "head_tip": "head_top", "belly": "spine", "torso": "spine", "mid_hip": "pelvis",
    "root": "pelvis", "left_foot": "left_toe", "right_foot": "right_toe", "left_foot_index": "left_big_toe",
    "right_foot_index": "right_big_toe",
}  # fmt: skip
"""Other names of the body's points."""

_DISC = np.array([(0, 0), *((np.cos(a), np.sin(a)) for a in np.arange(8) * np.pi / 4)])
_DISC = np.vstack([_DISC, _DISC[1:] * 0.5])


@dataclass(frozen=True, eq=False)
class PoseImage:
    """A rendered image and its labels.

    Attributes:
        image: uint8 [H, W, 3] RGB.
        keypoints: float32 [K, 3], (x, y, visibility), continuous image pixels; zeros for a point outside the image.
        box: float32 [4], (left, top, width, height) of the person's pixels and labelled points.
        area: number of the person's pixels that can be seen.
        family: of the pose, see `synthetic_poses.FAMILIES`.
    """

    image: np.ndarray
    keypoints: np.ndarray
    box: np.ndarray
    area: float
    family: str


def point_names() -> tuple[str, ...]:
    """The anatomical points of the body, the names that a skeleton can ask for."""
    return (*build_figure(Body(), Pose()).points, *MEANS, *SPELLINGS)


def check_skeleton(skeleton: Skeleton) -> None:
    """Raise ConfigError, naming the nearest spelling, where the body lacks one of the skeleton's keypoints."""
    known = point_names()
    for name in skeleton.keypoints:
        if name not in known and not _derivable(name, skeleton, known):
            raise ConfigError(
                f"synthetic people: skeleton {skeleton.name}: the body has no point '{name}'; "
                f"it has {', '.join(known)}{did_you_mean(name, known)}"
            )


def render_pose(
    rng: np.random.Generator, skeleton: Skeleton, size: tuple[int, int] = (320, 240)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One image of one person.

    Args:
        rng: everything random comes from here.
        skeleton: a skeleton of people; see `point_names` for what its keypoints may be called.
        size: (W, H) in pixels.

    Returns:
        image uint8 [H, W, 3] RGB; keypoints float32 [K, 3], (x, y, visibility) in continuous image pixels, visibility 0
        outside the image, 1 hidden, 2 visible; box float32 [4] (left, top, width, height).

    Raises:
        ConfigError: a keypoint of the skeleton is none of the body's.
    """
    check_skeleton(skeleton)
    drawn = render_image(rng, skeleton, size)
    return drawn.image, drawn.keypoints, drawn.box


def render_image(rng: np.random.Generator, skeleton: Skeleton, size: tuple[int, int], yaw: float = 180.0) -> PoseImage:
    """`render_pose` with the area and the family of the pose; the skeleton must have been checked.

    `yaw`: the person is turned at most this many degrees from facing the camera.
    """
    body = sample_body(rng)
    pose = sample_pose(rng, body)
    figure = build_figure(body, pose, yaw=float(rng.uniform(-yaw, yaw)))
    stage = set_stage(rng, figure, pose, size)
    for _ in range(8):
        if inside_image(stage, size) >= FEWEST:
            break
        stage = set_stage(rng, figure, pose, size)
    parts = figure_parts(stage.figure, sample_outfit(rng, body))
    parts += furniture(rng, stage, pose)
    picture = draw_background(rng, stage.camera, stage.ground)
    cast_shadow(rng, picture, stage)
    grain = rng.standard_normal((TILE, TILE)).astype(np.float32)
    picture, buffers = composite(picture, parts, stage, cv2.GaussianBlur(grain, (0, 0), 0.7) * 1.6)
    person = person_mask(parts, buffers)
    paint, veil = occlude(rng, size, _hull(person) / FINE)
    picture += (paint - picture) * veil[..., None]
    keypoints = label(stage.figure, skeleton, stage.camera, buffers, veil)
    seen = cv2.resize(person.astype(np.float32), size, interpolation=cv2.INTER_AREA) * (1 - veil)
    return PoseImage(
        expose(rng, picture), keypoints, person_box(person, keypoints, size), float(max(seen.sum(), 1.0)), pose.family
    )


def composite(
    picture: np.ndarray, parts: Sequence[Part], stage: Stage, grain: np.ndarray
) -> tuple[np.ndarray, Buffers]:
    """Draw the parts over `picture` float32 [H, W, 3], in place; returns it and the fine buffers behind it."""
    fine = stage.camera.scaled(FINE)
    buffers = cast(parts, fine)
    hit = buffers.part >= 0
    left, top, right, bottom = (int(side) // FINE for side in _hull(hit) + np.array([0, 0, FINE - 1, FINE - 1]))
    window = np.s_[top * FINE : bottom * FINE, left * FINE : right * FINE]
    colours = shade(parts, buffers.part[window], buffers.depth[window], fine.cropped(window), stage.light, grain)
    size = (right - left, bottom - top)
    cover = cv2.resize(hit[window].astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA)[..., None]
    target = picture[top:bottom, left:right]
    target *= 1 - cover.astype(np.float32) / 255
    target += cv2.resize(colours, size, interpolation=cv2.INTER_AREA)
    return picture, buffers


def person_mask(parts: Sequence[Part], buffers: Buffers) -> np.ndarray:
    """bool, where the nearest surface is the person's own."""
    owned = np.array([part.person for part in parts] + [False])  # index -1 is the background
    return owned[buffers.part]


def inside_image(stage: Stage, size: tuple[int, int]) -> int:
    """How many of the body's main joints lie inside the image."""
    names = [
        name
        for name in stage.figure.points
        if name.endswith(("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "ear"))
    ]
    pixels = stage.camera.project(np.array([stage.figure.points[name] for name in names]))
    return int(((pixels > 0) & (pixels < size)).all(axis=1).sum())


def label(figure: Figure, skeleton: Skeleton, camera: Camera, buffers: Buffers, veil: np.ndarray) -> np.ndarray:
    """Keypoints float32 [K, 3] of a figure in camera axes.

    A point is hidden where most of a small disc round it is nearer to the camera than the body's own surface there can
    be, or lies under `veil` (float32 [H, W], opacity of what is in front of everything).
    """

    def point(name: str) -> np.ndarray:
        name = SPELLINGS.get(name, name)
        if name in figure.points:
            return _label_point(figure, name, camera, buffers, veil)
        names, wants_all = MEANS.get(name) or (skeleton.derive[name], name in skeleton.derive_all)
        return _mean([point(source) for source in names], wants_all)

    return np.array([point(name) for name in skeleton.keypoints], np.float32)


def person_box(person: np.ndarray, keypoints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Box float32 [4] round the person's pixels (fine mask) and labelled points, inside the image."""
    left, top, right, bottom = _hull(person) / FINE
    points = keypoints[keypoints[:, 2] > 0, :2]
    if len(points):
        left, top = np.minimum((left, top), points.min(axis=0))
        right, bottom = np.maximum((right, bottom), points.max(axis=0))
    width, height = size
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    return np.array([left, top, right - left, bottom - top], np.float32)


def _label_point(figure: Figure, name: str, camera: Camera, buffers: Buffers, veil: np.ndarray) -> np.ndarray:
    point, reach = figure.points[name], figure.reach[name]
    x, y = camera.project(point)
    width, height = camera.size
    if not (0 <= x < width and 0 <= y < height):
        return np.array([0.0, 0.0, HIDDEN])
    radius = max(0.75, 0.45 * reach * camera.focal / point[2])
    disc = _DISC * radius + (x, y)
    disc = disc[((disc >= 0) & (disc < (width, height))).all(axis=1)]
    fine = (disc * FINE).astype(int)
    # its own limb under loose clothes, seen aslant, is no cover
    own = min(1.75 * reach, reach + 0.05) + 0.02
    covered = buffers.depth[fine[:, 1], fine[:, 0]] < point[2] - own
    coarse = disc.astype(int)
    covered |= veil[coarse[:, 1], coarse[:, 0]] > 0.5
    return np.array([x, y, OCCLUDED if covered.mean() > 0.5 else VISIBLE])


def _mean(points: Sequence[np.ndarray], wants_all: bool) -> np.ndarray:
    """Mean of the labelled points, as visible as the most visible of them: the rule of `Skeleton.derive`."""
    table = np.array(points)
    labelled = table[table[:, 2] > 0]
    if len(labelled) == 0 or (wants_all and len(labelled) < len(table)):
        return np.zeros(3)
    return np.array([*labelled[:, :2].mean(axis=0), labelled[:, 2].max()])


def _derivable(name: str, skeleton: Skeleton, known: Sequence[str]) -> bool:
    sources = skeleton.derive.get(name, ())
    return bool(sources) and all(source in known for source in sources)


def _hull(mask: np.ndarray) -> np.ndarray:
    """(left, top, right, bottom) of a mask's true pixels; the whole image where there is none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.array([0.0, 0.0, mask.shape[1], mask.shape[0]])
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
