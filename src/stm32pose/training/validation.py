"""The figures of every epoch, through the same codec and the same metrics as the final evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from stm32pose.data.pipeline import unmap_poses
from stm32pose.training.feed import Targets, batches_of

if TYPE_CHECKING:
    import keras

    from stm32pose.codecs.select import Codec
    from stm32pose.config.data_sections import Rescaling
    from stm32pose.data.pipeline import Pipeline
    from stm32pose.data.sample import Sample
    from stm32pose.skeletons.skeleton import Skeleton
    from stm32pose.training.weights import JointWeights

PROBE_IMAGES = 128
_NAMES = {"mean_oks": "oks", "pck@0.2": "pck", "epe_px": "epe"}


class Forward:
    """The network as a compiled function of uint8 images, with its loss.

    Calling it with images uint8 [B, H, W, C] and the codec's targets (an array, or a tuple of them) gives the outputs,
    a list of float32 [B, ...], and the losses, float32 [B, K].

    Attributes:
        rescaling: of the images.
        weights: how much each labelled joint counts in the loss; None: all the same.
    """

    def __init__(self, model: keras.Model, loss: keras.Loss, rescaling: Rescaling, weights: JointWeights | None = None):
        import tensorflow as tf

        self.rescaling = rescaling
        self.weights = weights

        @tf.function(reduce_retracing=True)
        def forward(images, targets):
            pixels = tf.cast(images, tf.float32) * rescaling.scale + rescaling.offset
            outputs = tf.nest.flatten(model(pixels, training=False))
            outputs = [tf.cast(output, tf.float32) for output in outputs]
            return outputs, loss.call(targets, outputs[0] if len(outputs) == 1 else outputs)

        self._forward = forward

    def __call__(self, images: np.ndarray, targets: Targets) -> tuple[list[np.ndarray], np.ndarray]:
        import tensorflow as tf

        outputs, losses = self._forward(tf.constant(images), tf.nest.map_structure(tf.constant, targets))
        return [output.numpy() for output in outputs], losses.numpy()


def validate(
    forward: Forward, codec: Codec, pipeline: Pipeline, samples: Sequence[Sample], skeleton: Skeleton
) -> tuple[dict[str, float], list[float | None]]:
    """Figures of a network on `samples`.

    Args:
        forward: the network.
        codec: encodes labels for the loss, decodes the outputs.
        pipeline: over `samples`, neither shuffled nor changed at random.
        samples: the images and their labels.
        skeleton: sigmas for OKS.

    Returns:
        `loss` (mean over labelled keypoints), `oks` and `pck` (PCK@0.2) from 0 to 1, and `epe` in image pixels; those
        that the labels do not allow are left out. And the OKS of each of the K joints, None where it is labelled
        nowhere.
    """
    from stm32pose.metrics.evaluate import quick_joint_metrics

    predictions: list[Any] = [None] * len(samples)
    total = weight = 0.0
    with batches_of(pipeline, 0) as batches:
        for batch in batches:
            targets, weights = codec.encode(batch.keypoints_input)
            if forward.weights is not None:
                weights = forward.weights(weights, batch.keypoints_input)
            outputs, losses = forward(batch.images, targets)
            total += float((losses.astype(np.float64) * weights).sum())
            weight += float(weights.sum())
            for index, poses in zip(batch.indices, unmap_poses(codec.decode(outputs), batch.matrices), strict=True):
                predictions[index] = poses
    figures, joints = quick_joint_metrics(samples, predictions, skeleton)
    logs = {_NAMES[name]: value for name, value in figures.items() if name in _NAMES and value is not None}
    if weight:
        logs["loss"] = total / weight
    return logs, [None if np.isnan(value) else float(value) for value in joints]


def probe_samples(samples: Sequence[Sample], seed: int, most: int = PROBE_IMAGES) -> list[Sample]:
    """A fixed choice of at most `most` of `samples`, in their order."""
    if len(samples) <= most:
        return list(samples)
    chosen = np.random.default_rng([seed, len(samples)]).choice(len(samples), most, replace=False)
    return [samples[index] for index in np.sort(chosen)]


@contextmanager
def averaged_weights(model: keras.Model, optimizer: Any) -> Iterator[None]:
    """While open, `model` has the moving averages of its weights where the optimizer keeps them (`use_ema`)."""
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not getattr(optimizer, "use_ema", False) or not optimizer.built:
        yield
        return
    pairs = zip(model.trainable_variables, optimizer._model_variables_moving_average, strict=True)
    kept = [(variable, variable.numpy(), average) for variable, average in pairs if average is not None]
    for variable, _, average in kept:
        variable.assign(average)
    try:
        yield
    finally:
        for variable, value, _ in kept:
            variable.assign(value)
