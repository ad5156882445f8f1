"""From the input pipeline to `model.fit`: targets encoded ahead of the trainer, pixels rescaled in TensorFlow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import numpy as np

from stm32pose.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

    from stm32pose.codecs.select import Codec
    from stm32pose.config.data_sections import Rescaling
    from stm32pose.data.pipeline import Batch, Pipeline
    from stm32pose.training.weights import JointWeights

AHEAD = 2  # batches kept ready beyond those of the pipeline

Targets = np.ndarray | tuple[np.ndarray, ...]
Item = tuple[np.ndarray, Targets, np.ndarray]


@contextmanager
def batches_of(pipeline: Pipeline, epoch: int) -> Iterator[Iterator[Batch]]:
    """The batches of an epoch; the pipeline's threads stop with the block."""
    batches = cast("Generator[Batch]", pipeline.epoch(epoch))
    try:
        yield batches
    finally:
        batches.close()


class Feed:
    """Batches of the epochs `first` to `last` (exclusive) for one call of `fit`, made in a thread of tf.data.

    A batch is (images uint8 [B, H, W, C], targets float32, weights float32 [B, K]); `dataset` rescales the images to
    float32. Targets are one array, or a tuple of them where the network has several outputs, as the codec encodes.
    What comes depends on the pipeline's seed and the epoch alone. H and W change from batch to batch
    where the pipeline changes them. `weights`, where given, says how much each labelled joint counts.

    Attributes:
        steps: batches an epoch.
        error: the user's error that ended the feed (TensorFlow passes on its text only).
    """

    def __init__(
        self,
        pipeline: Pipeline,
        codec_for: Callable[[tuple[int, int]], Codec],
        rescaling: Rescaling,
        *,
        first: int,
        last: int,
        steps: int | None = None,
        weights: JointWeights | None = None,
    ):
        self.steps = min(steps or len(pipeline), len(pipeline))
        self.error: UserError | None = None
        self._pipeline = pipeline
        self._codec_for = codec_for
        self._rescaling = rescaling
        self._epochs = range(first, last)
        self._weights = weights
        self._lock = threading.Lock()
        self._closed = False
        self._items: Generator[Item] | None = None

    def dataset(
        self, shape: tuple[int | None, int | None, int], targets: Sequence[tuple[int | None, ...]], keypoints: int
    ) -> tf.data.Dataset:
        """A tf.data set over all epochs, one after the other.

        Args:
            shape: (H, W, C) of the images; None where it changes.
            targets: the shape of each target of the codec, without batch; None where it changes.
            keypoints: K.
        """
        import tensorflow as tf

        specs = tuple(tf.TensorSpec((None, *target), tf.float32) for target in targets)  # pyright: ignore[reportArgumentType]
        signature = (
            tf.TensorSpec((None, *shape), tf.uint8),  # pyright: ignore[reportArgumentType]
            specs[0] if len(specs) == 1 else specs,
            tf.TensorSpec((None, keypoints), tf.float32),  # pyright: ignore[reportArgumentType]
        )
        scale, offset = self._rescaling.scale, self._rescaling.offset

        def rescale(images, targets, weights):
            return tf.cast(images, tf.float32) * scale + offset, targets, weights

        options = tf.data.Options()
        options.autotune.enabled = False  # with it on, epochs were seen to stall for seconds at their end
        options.deterministic = True
        dataset = tf.data.Dataset.from_generator(self.produce, output_signature=signature)
        return dataset.map(rescale).prefetch(AHEAD).with_options(options)

    def produce(self) -> Iterator[Item]:
        """The batches of all epochs; ends early once `close` was called."""
        self._items = self._batches()
        while True:
            with self._lock:
                if self._closed:
                    return
                try:
                    item = next(self._items)
                except StopIteration:
                    return
                except UserError as error:
                    self.error = error
                    raise
            yield item

    def close(self) -> None:
        """Stop the pipeline's threads; waits for the batch in the making."""
        with self._lock:
            self._closed = True
            if self._items is not None:
                self._items.close()
                self._items = None

    def _batches(self) -> Generator[Item]:
        for epoch in self._epochs:
            with batches_of(self._pipeline, epoch) as batches:
                # The counter comes first, so that no batch is drawn only to be dropped.
                for _, batch in zip(range(self.steps), batches, strict=False):
                    height, width = batch.images.shape[1:3]
                    targets, weights = self._codec_for((height, width)).encode(batch.keypoints_input)
                    if self._weights is not None:
                        weights = self._weights(weights, batch.keypoints_input)
                    yield batch.images, targets, weights
