"""Curves and pictures for `tensorboard --logdir`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from stm32pose.errors import UserError

log = logging.getLogger(__name__)


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

    def scalars(self, group: str, values: Mapping[str, float | None], step: int, *, where: str = "validation") -> None:
        """`GROUP/NAME` of each; what is None is left out."""
        import tensorflow as tf

        with self._writing(), self._writers[where].as_default():
            for name, value in values.items():
                if value is not None:
                    tf.summary.scalar(f"{group}/{name}", value, step=step)

    def histograms(self, group: str, values: Mapping[str, np.ndarray], step: int, *, where: str = "train") -> None:
        """`GROUP/NAME` of each; values that are not finite are left out."""
        import tensorflow as tf

        with self._writing(), self._writers[where].as_default():
            for name, array in values.items():
                finite = array[np.isfinite(array)]
                if finite.size:
                    tf.summary.histogram(f"{group}/{name}", finite, step=step)

    def picture(self, tag: str, image: np.ndarray, step: int, *, where: str = "validation") -> None:
        """One uint8 RGB picture."""
        import tensorflow as tf
        from tensorboard.plugins.image import metadata

        # As `tf.summary.image`, whose PNG takes longer than drawing and all else.
        data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
        tensor = tf.constant([str(image.shape[1]).encode(), str(image.shape[0]).encode(), data])
        kind = metadata.create_summary_metadata(display_name=None, description="")
        with self._writing(), self._writers[where].as_default():
            tf.summary.write(tag, tensor, step=step, metadata=kind)

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
