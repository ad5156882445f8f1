"""What a training shows: the batch as the network sees it, what it is asked for, and what it makes of images."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from stm32pose.codecs.movenet import MovenetCodec
from stm32pose.drawing import caption, draw_pose, draw_poses, mosaic
from stm32pose.files import write_whole

if TYPE_CHECKING:
    from stm32pose.codecs.select import Codec
    from stm32pose.data.pipeline import Batch, Pipeline
    from stm32pose.skeletons.skeleton import Skeleton
    from stm32pose.training.tensorboard import Curves
    from stm32pose.training.validation import Forward

log = logging.getLogger(__name__)

PICTURES = 4
"""Images that are followed through a training."""
TILES = 8
"""Images of the first batch that are drawn before the first step."""
PICTURED_EPOCHS = 10
"""About how many epochs of a training are pictured."""
SIDE = 240
SMALLEST_TILE = 192
STRIP = 0.04
"""Width of a drawn distribution at the edge, as a share of the longer side."""
FOLDER = "training"
LATEST = "latest.jpg"


def pictured(epoch: int, epochs: int) -> bool:
    """Whether epoch number `epoch` (from 1) of `epochs` is pictured: the first, the last and some between."""
    return epoch in (1, epochs) or epoch % max(1, round(epochs / PICTURED_EPOCHS)) == 0


@dataclass(eq=False)
class Pictures:
    """Draws for one training, to TensorBoard and, where there is a folder, to JPEG files.

    Attributes:
        skeleton: for drawing.
        curves: TensorBoard.
        folder: of the figures of a run; None: no files.
        bgr: the images are blue, green, red.
    """

    skeleton: Skeleton
    curves: Curves
    folder: Path | None = None
    bgr: bool = False
    _followed: tuple[np.ndarray, np.ndarray] | None = field(default=None, init=False)

    def before(self, batch: Batch, codec: Codec, epoch: int) -> None:
        """`augmented.jpg` and `targets.jpg`: the first batch as the network sees it, and what it is asked for.

        A network that gives coordinates is asked for the labels themselves: `targets.jpg` would show nothing else.

        Args:
            batch: of the training pipeline.
            codec: for its size.
            epoch: the step in TensorBoard.

        Raises:
            UserError: a file cannot be written.
        """
        images = self._rgb(batch.images[:TILES])
        tiles = []
        for image, poses in zip(images, batch.keypoints_input, strict=False):
            large, factor = _enlarged(image, 2 * SIDE)
            tiles.append(draw_poses(large, poses * [factor, factor, 1], self.skeleton))
        self._save("augmented.jpg", mosaic(tiles, tile=(SIDE, SIDE)))
        keypoints = batch.keypoints_input[:PICTURES]
        targets, _ = codec.encode(keypoints)
        if codec.describe()["kind"] == "keypoints":
            return
        picture = pose_picture(images[:PICTURES], keypoints[:, 0], targets, self.skeleton, codec)
        self._save("targets.jpg", picture)
        self.curves.picture("training_inputs_and_targets", picture, epoch, where="train")

    def epoch(self, epoch: int, pipeline: Pipeline, codec: Codec, forward: Forward) -> None:
        """`training/epoch_NNN.jpg`: what the network makes of the first images of `pipeline`, which never change.

        Raises:
            UserError: a file cannot be written.
        """
        from stm32pose.training.feed import batches_of

        if self._followed is None:
            with batches_of(pipeline, 0) as batches:
                batch = next(iter(batches))
            self._followed = batch.images[:PICTURES], batch.keypoints_input[:PICTURES]
        images, keypoints = self._followed
        targets, _ = codec.encode(keypoints)
        outputs, _ = forward(images, targets)
        picture = pose_picture(
            self._rgb(images),
            keypoints[:, 0],
            targets,
            self.skeleton,
            codec,
            outputs=outputs,
            poses=codec.decode(outputs)[:, 0],
        )
        self._save(f"{FOLDER}/epoch_{epoch:03d}.jpg", picture)
        self._save(f"{FOLDER}/{LATEST}", picture)
        self.curves.picture("inputs_targets_predictions", picture, epoch)

    def _rgb(self, images: np.ndarray) -> np.ndarray:
        """uint8 [B, H, W, 3] of images of one channel, or of the order that the network takes."""
        if images.shape[3] == 1:
            return np.repeat(images, 3, axis=3)
        return images[..., ::-1] if self.bgr else images

    def _save(self, name: str, picture: np.ndarray) -> None:
        if self.folder is not None:
            done, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
            if done:
                write_whole(self.folder / name, data.tobytes(), sync=False)


def pose_picture(
    images: np.ndarray,
    truth: np.ndarray,
    targets: Any,
    skeleton: Skeleton,
    codec: Codec,
    *,
    outputs: Sequence[np.ndarray] | None = None,
    poses: np.ndarray | None = None,
) -> np.ndarray:
    """A row an image: the input with its label, the target, the network's output where it can be drawn, and its pose.

    Args:
        images: uint8 [B, H, W, 3] RGB, network inputs.
        truth: float32 [B, K, 3], labels in input pixels.
        targets: what `codec.encode` gave: an array, or a tuple of them.
        skeleton: for drawing.
        codec: says what targets and outputs are.
        outputs: of the network, where there are any.
        poses: float32 [B, K, 3], decoded, input pixels.

    Returns:
        uint8 [H', W', 3] RGB.
    """
    asked = place_maps(codec, targets if isinstance(targets, tuple) else (targets,), targets=True)
    given = place_maps(codec, outputs) if outputs is not None else None
    height, width = images.shape[1:3]
    scale = max(1.0, SMALLEST_TILE / max(height, width))
    factor = np.array([scale, scale, 1])
    rows = []
    for index in range(min(len(images), PICTURES)):
        image, _ = _enlarged(images[index], SMALLEST_TILE)
        tiles = [caption(draw_pose(image, truth[index] * factor, skeleton), "input and label")]
        if asked is not None:
            tiles.append(caption(_drawn(image, asked[index], codec), "target"))
        if given is not None:
            tiles.append(caption(_drawn(image, given[index], codec), "network"))
        if poses is not None:
            # However unsure the network is: early in a training nothing would be seen otherwise. Red dots tell it.
            found = draw_pose(image, poses[index] * factor, skeleton, threshold=0)
            tiles.append(caption(found, "decoded"))
        rows.append(tiles)
    tall, wide = rows[0][0].shape[:2]
    across = len(rows[0]) if outputs is not None else 2 * len(rows[0])
    return mosaic([tile for row in rows for tile in row], columns=across, tile=(tall, wide))


@dataclass(frozen=True, eq=False)
class Places:
    """Where targets or outputs put the joints of one image.

    Attributes:
        heat: float32 [h, w], the brightest of all joints; any range.
        across: float32 [w'] and
        down: float32 [h'], the brightest of all joints along each axis, where the network gives these two.
    """

    heat: np.ndarray
    across: np.ndarray | None = None
    down: np.ndarray | None = None


def place_maps(codec: Codec, arrays: Sequence[np.ndarray], *, targets: bool = False) -> list[Places] | None:
    """One `Places` an image; None where outputs are coordinates and nothing else.

    Heat maps, MoveNet's as well, are taken as they are (logits of a softmax as its probabilities). SimCC has two
    distributions a joint: the map is the square root of their product, so that a joint that is spread wide still shows
    beside one that is sharp.

    Args:
        codec: says what `arrays` are.
        arrays: [B, ...] each; what a network gives.
        targets: they are what the codec encoded: probabilities where a network gives logits.
    """
    kind = codec.describe()["kind"]
    if kind in ("heatmaps", "movenet"):
        if isinstance(codec, MovenetCodec) and not targets:
            arrays = codec.arranged(arrays)
        maps = np.nan_to_num(np.asarray(arrays[1 if kind == "movenet" else 0], np.float32))
        if not targets and kind == "heatmaps" and getattr(codec, "activation", "") == "empty":
            maps = _softmax(maps.reshape(len(maps), -1, maps.shape[3]), axis=1).reshape(maps.shape)
        return [Places(heat) for heat in maps.max(axis=3)]
    if kind == "simcc":
        values = np.nan_to_num(np.asarray(arrays[0], np.float32))
        bins = round(codec.input_shape[1] * getattr(codec, "split", 2))
        halves = values[..., :bins], values[..., bins:]
        across, down = (half if targets else _softmax(half, axis=2) for half in halves)
        # A joint's map is an outer product: its maximum over joints without [B, K, h, w] in memory at once.
        heats = [np.sqrt((y[:, :, None] * x[:, None, :]).max(axis=0)) for x, y in zip(across, down, strict=True)]
        edges = zip(heats, across.max(axis=1), down.max(axis=1), strict=True)
        return [Places(heat, x, y) for heat, x, y in edges]
    return None


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """`image` uint8 [H, W, 3] under `heat` [h, w], brightest value white."""
    colour = _coloured(heat, (image.shape[1], image.shape[0]))
    return cv2.addWeighted(np.ascontiguousarray(image), 0.45, np.ascontiguousarray(colour), 0.7, 0)


def _drawn(image: np.ndarray, places: Places, codec: Codec) -> np.ndarray:
    """The map over the image, with the two distributions along the upper and the left edge where there are any."""
    canvas = overlay(image, places.heat)
    if places.across is not None and places.down is not None:
        strip = max(3, round(STRIP * max(image.shape[:2])))
        canvas[:strip] = _coloured(places.across[None], (image.shape[1], strip))
        canvas[:, :strip] = _coloured(places.down[:, None], (strip, image.shape[0]))
    return canvas


def _coloured(heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 RGB of (width, height) `size`, black to white over the range of `heat`."""
    heat = np.nan_to_num(np.asarray(heat, np.float32))
    heat = (heat - heat.min()) / max(float(heat.max() - heat.min()), 1e-9)
    smaller = heat.shape[1] > size[0] or heat.shape[0] > size[1]
    heat = cv2.resize(heat, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]


def _softmax(values: np.ndarray, axis: int) -> np.ndarray:
    shifted = np.exp(values - values.max(axis=axis, keepdims=True))
    return shifted / shifted.sum(axis=axis, keepdims=True)


def _enlarged(image: np.ndarray, side: int) -> tuple[np.ndarray, float]:
    """The image at least `side` pixels long, so that thin lines stay visible; and the factor."""
    factor = max(1.0, side / max(image.shape[:2]))
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    large = image if factor == 1.0 else cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(large), factor
