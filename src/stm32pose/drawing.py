"""Poses drawn on images, and mosaics of images. Pure functions on uint8 RGB arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from stm32pose.skeletons.skeleton import Skeleton

CROWDED = 40  # keypoints above which dots would cover the lines
SMALLEST_SCORE = 1e-3
"""Below it a joint was not found at all, and has no place worth drawing."""
HEAD = 8
"""Characters that a text which is cut keeps of its beginning: `int8 mod`, `OKS 0.52`."""
_SHIFT = 4  # OpenCV draws at 1/16 pixel
_TRUTH = (255, 255, 255)
_BOX = (255, 0, 255)


def draw_pose(
    image: np.ndarray,
    keypoints: np.ndarray,
    skeleton: Skeleton,
    *,
    threshold: float = 0.15,
    thickness: int | None = None,
    truth: bool = False,
    uncertain: bool = False,
) -> np.ndarray:
    """A copy of `image` with one pose drawn on it.

    Args:
        image: uint8 [H, W, 3] RGB.
        keypoints: [K, 3], (x, y, score or visibility), continuous image pixels.
        skeleton: names the edges and their colours.
        threshold: joints with a lower third value are left out (a label of visibility 0 is such a joint).
        thickness: of the limbs in pixels; None: by the size of the image.
        truth: draw thin and white, to lie under a prediction.
        uncertain: joints below the threshold are drawn as well, as thin rings without limbs.
    """
    canvas = np.ascontiguousarray(image).copy()
    width = thickness or line_width(canvas)
    present = np.isfinite(keypoints).all(axis=1) & (keypoints[:, 2] >= max(threshold, 1e-9))
    for (start, end), colour in zip(skeleton.edges, skeleton.colours, strict=True):
        if present[start] and present[end]:
            line = _TRUTH if truth else colour
            cv2.line(
                canvas,
                _fixed_point(keypoints[start]),
                _fixed_point(keypoints[end]),
                line,
                max(1, width // 2) if truth else width,
                cv2.LINE_AA,
                _SHIFT,
            )
    crowded = len(keypoints) > CROWDED
    radius = round((width / 2 if crowded else width if truth else width + 1) * (1 << _SHIFT))
    for joint in np.flatnonzero(present):
        fill = _TRUTH if truth else _confidence_colour(float(keypoints[joint, 2]))
        centre = _fixed_point(keypoints[joint])
        if not crowded:
            cv2.circle(canvas, centre, radius + (1 << _SHIFT), (0, 0, 0), -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(canvas, centre, radius, fill, -1, cv2.LINE_AA, _SHIFT)
    if uncertain:
        faint = np.isfinite(keypoints).all(axis=1) & ~present & (keypoints[:, 2] >= SMALLEST_SCORE)
        for joint in np.flatnonzero(faint):
            colour = _confidence_colour(float(keypoints[joint, 2]))
            cv2.circle(canvas, _fixed_point(keypoints[joint]), radius, colour, 1, cv2.LINE_AA, _SHIFT)
    return canvas


def draw_poses(
    image: np.ndarray, poses: np.ndarray, skeleton: Skeleton, *, thickness: int | None = None, truth: bool = False
) -> np.ndarray:
    """`draw_pose` for each of `poses` [N, K, 3], limbs as wide as suits its size where no `thickness` is given."""
    for pose in poses:
        width = thickness or limb_width(image, pose, _extent(pose, 0.0))
        image = draw_pose(image, pose, skeleton, thickness=width, truth=truth)
    return image


def limb_width(image: np.ndarray, pose: np.ndarray, extent: np.ndarray | None) -> int:
    """Pixels: people far away have thin limbs, a face of hundreds of points has thin dots.

    Args:
        image: [H, W, 3] to draw on.
        pose: [K, 3].
        extent: (left, top, width, height) of the pose, or None.
    """
    longest = max(extent[2], extent[3]) if extent is not None else 0
    return min(line_width(image), max(1, round(longest / (250 if len(pose) > CROWDED else 60))))


def draw_found(
    image: np.ndarray,
    keypoints: np.ndarray,
    skeleton: Skeleton,
    *,
    threshold: float = 0.15,
    boxes: np.ndarray | None = None,
    labels: Sequence[str] = (),
) -> np.ndarray:
    """A copy of `image` with everything that was found in it, the least sure pose first so that the best lies on top.

    Args:
        image: uint8 [H, W, 3] RGB.
        keypoints: [M, K, 3], (x, y, score), continuous image pixels, best first.
        skeleton: names the edges and their colours.
        threshold: joints that score less are thin rings without limbs.
        boxes: [M, 4], (left, top, width, height), or None.
        labels: one short text a pose, written at its box or above its highest joint; none: no text.
    """
    canvas = np.ascontiguousarray(image).copy()
    for index in reversed(range(len(keypoints))):
        pose = keypoints[index]
        extent = boxes[index] if boxes is not None else _extent(pose, threshold)
        width = limb_width(canvas, pose, extent)
        canvas = draw_pose(canvas, pose, skeleton, threshold=threshold, thickness=width, uncertain=True)
        if boxes is not None:
            draw_box(canvas, boxes[index])
        if labels and extent is not None:
            _write(canvas, labels[index], extent)
    return canvas


def draw_box(canvas: np.ndarray, box: np.ndarray) -> None:
    """Draw (left, top, width, height) into `canvas` itself, uint8 [H, W, 3] RGB."""
    if not np.isfinite(box).all():
        return
    corners = _fixed_point(box[:2]), _fixed_point(box[:2] + box[2:])
    cv2.rectangle(canvas, *corners, _BOX, max(1, line_width(canvas) // 2), cv2.LINE_AA, _SHIFT)


def line_width(image: np.ndarray) -> int:
    """Width of limbs that suits an image of this size, in pixels, at least 1."""
    return max(1, round(max(image.shape[:2]) / 160))


def caption(image: np.ndarray, text: str) -> np.ndarray:
    """A copy of `image` with one line of text on a dark bar below it; a long one is written smaller, then cut."""
    bar = np.full((18, image.shape[1], 3), 32, np.uint8)
    text, scale = fit_text(text, image.shape[1] - 8)
    cv2.putText(bar, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, scale, (235, 235, 235), 1, cv2.LINE_AA)
    return np.vstack([image, bar])


def fit_text(text: str, width: int) -> tuple[str, float]:
    """A text that takes at most `width` pixels, and the scale to write it at (0.4 to 0.3).

    What is too long even so loses its middle: names differ at their ends, and the first `HEAD` characters say what
    they are of.
    """
    for scale in (0.4, 0.35, 0.3):
        if _text_width(text, scale) <= width:
            return text, scale
    kept = len(text) - HEAD - 1
    while kept > 1 and _text_width(f"{text[:HEAD]}..{text[-kept:]}", 0.3) > width:
        kept -= 1
    return f"{text[:HEAD]}..{text[-max(1, kept) :]}", 0.3


def _text_width(text: str, scale: float) -> int:
    return cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0]


def fit_into(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """`image` scaled to fit [height, width, 3], centred on dark grey."""
    factor = min(height / image.shape[0], width / image.shape[1])
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    tile = np.full((height, width, 3), 32, np.uint8)
    top, left = (height - small.shape[0]) // 2, (width - small.shape[1]) // 2
    tile[top : top + small.shape[0], left : left + small.shape[1]] = small
    return tile


def mosaic(images: Sequence[np.ndarray], *, columns: int = 4, tile: tuple[int, int] = (240, 240), gap: int = 4):
    """One uint8 RGB picture of `images` in rows of `columns`, each fitted into a tile of (H, W) pixels.

    Raises:
        ValueError: there is no image.
    """
    if not images:
        raise ValueError("a mosaic needs at least one image")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height, width = tile
    canvas = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for index, image in enumerate(images):
        top = gap + index // columns * (height + gap)
        left = gap + index % columns * (width + gap)
        canvas[top : top + height, left : left + width] = fit_into(image, height, width)
    return canvas


def write_image(path: Path, image: np.ndarray) -> Path:
    """Write a uint8 RGB image; the suffix chooses the format. Raises OSError where that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise OSError(f"cannot encode {path}")
    path.write_bytes(data.tobytes())
    return path


def _fixed_point(point: np.ndarray) -> tuple[int, int]:
    """OpenCV's pixel centres are integers, ours are at +0.5."""
    x, y = np.clip((point[:2] - 0.5) * (1 << _SHIFT), -1e6, 1e6)
    return round(float(x)), round(float(y))


def _extent(pose: np.ndarray, threshold: float) -> np.ndarray | None:
    """(left, top, width, height) of the joints that are sure, or of all that were found; None where there is none."""
    finite = np.isfinite(pose).all(axis=1)
    for least in (threshold, SMALLEST_SCORE):
        points = pose[finite & (pose[:, 2] >= max(least, 1e-9)), :2]
        if len(points):
            low = points.min(axis=0)
            return np.concatenate([low, points.max(axis=0) - low])
    return None


def _write(canvas: np.ndarray, text: str, extent: np.ndarray) -> None:
    """A line of text above a box, or inside its top where there is no room above."""
    if not np.isfinite(extent).all():
        return
    scale = max(0.35, min(1.5, max(canvas.shape[:2]) / 1400))
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    left = int(np.clip(extent[0], 0, max(0, canvas.shape[1] - width - 4)))
    bottom = int(np.clip(extent[1], height + base + 2, canvas.shape[0]))
    cv2.rectangle(canvas, (left, bottom - height - base - 2), (left + width + 4, bottom), _BOX, -1)
    place = (left + 2, bottom - base)
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)


def _confidence_colour(score: float) -> tuple[int, int, int]:
    """Red (0) over yellow to green (1); a visibility flag of 1 or 2 is green."""
    level = min(max(score, 0.0), 1.0)
    return (round(255 * min(1.0, 2 - 2 * level)), round(255 * min(1.0, 2 * level)), 60)
