"""Curves and pictures for `tensorboard --logdir`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from stm32pose.drawing import caption, draw_pose, mosaic
from stm32pose.errors import UserError
from stm32pose.skeletons.skeleton import Skeleton

log = logging.getLogger(__name__)

PICTURES = 4


class Curves:
    """Writes to `train` and `validation` below the folder of logs. Tags are Keras's: `epoch_loss`, `epoch_oks`.

    The two folders carry the same tags, so that training and validation share a chart. Every method raises UserError
    where the disk is full or not writable; `close` only says so.
    """

    def __init__(self, logs: Path):
        import tensorflow as tf

        self._logs = logs
        with self._writing():
            self._writers = {name: tf.summary.create_file_writer(str(logs / name)) for name in ("train", "validation")}

    def epoch(self, row: dict[str, float]) -> None:
        """The figures of one epoch, a row of the history."""
        import tensorflow as tf

        step = int(row["epoch"])
        with self._writing():
            for name, value in row.items():
                if name == "epoch":
                    continue
                writer = self._writers["validation" if name.startswith("val_") else "train"]
                with writer.as_default():
                    tf.summary.scalar(f"epoch_{name.removeprefix('val_')}", value, step=step)

    def picture(self, tag: str, image: np.ndarray, step: int, *, where: str = "validation") -> None:
        """One uint8 RGB picture."""
        import tensorflow as tf

        with self._writing(), self._writers[where].as_default():
            tf.summary.image(tag, image[None], step=step)

    def flush(self) -> None:
        """Make what was written visible."""
        with self._writing():
            for writer in self._writers.values():
                writer.flush()

    def close(self) -> None:
        """Write out and close the files."""
        try:
            with self._writing():
                for writer in self._writers.values():
                    writer.close()
        except UserError as error:
            log.warning("%s", error)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        import tensorflow as tf

        try:
            yield
        except tf.errors.OpError as error:
            reason = str(error.message).splitlines()[0].rpartition("; ")[2]
            raise UserError(f"{self._logs}: cannot be written ({reason})") from error


def pose_picture(
    images: np.ndarray,
    truth: np.ndarray,
    targets: np.ndarray,
    skeleton: Skeleton,
    *,
    outputs: np.ndarray | None = None,
    poses: np.ndarray | None = None,
) -> np.ndarray:
    """A row an image: the input with its label, the target maps, and what the network made of it.

    Args:
        images: uint8 [B, H, W, C] network inputs.
        truth: float32 [B, K, 3], labels in input pixels.
        targets: float32 [B, h, w, K].
        skeleton: for drawing.
        outputs: float32 [B, h, w, K] of the network, where there are any.
        poses: float32 [B, K, 3], decoded, input pixels.

    Returns:
        uint8 [H', W', 3] RGB.
    """
    tiles = []
    for index in range(min(len(images), PICTURES)):
        image = np.repeat(images[index], 3, axis=2) if images.shape[3] == 1 else images[index]
        tiles.append(caption(draw_pose(image, truth[index], skeleton), "input and label"))
        tiles.append(caption(overlay(image, targets[index]), "target"))
        if outputs is not None and poses is not None:
            tiles.append(caption(overlay(image, outputs[index]), "network"))
            tiles.append(caption(draw_pose(image, poses[index], skeleton), "decoded"))
    height, width = tiles[0].shape[:2]
    scale = max(1.0, 192 / max(height, width))
    return mosaic(tiles, columns=2 if outputs is None else 4, tile=(round(height * scale), round(width * scale)))


def overlay(image: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """`image` uint8 [H, W, 3] under the brightest of `maps` [h, w, K], brightest value white."""
    heat = np.nan_to_num(maps.astype(np.float32)).max(axis=2)
    heat = (heat - heat.min()) / max(float(heat.max() - heat.min()), 1e-9)
    heat = cv2.resize(heat, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    colour = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    return cv2.addWeighted(np.ascontiguousarray(image), 0.45, np.ascontiguousarray(colour), 0.7, 0)
