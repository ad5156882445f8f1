"""TensorFlow's fused batch normalisation behind the stock Keras layer, for training on a CPU.

Keras 3 computes the moments of a batch with separate ops, which costs half of a training step of MobileNetV2 on a CPU;
TensorFlow's fused kernel does the same arithmetic in one pass forward and one backward. Only the training-time call of
the layer objects at hand is replaced: class, configuration, weights and saved files stay plain Keras.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    from keras.layers import BatchNormalization

log = logging.getLogger(__name__)

KERNEL_WIDTH = 8


@contextmanager
def fused_batch_norm(model: keras.Model, enabled: bool = True) -> Iterator[int]:
    """While open, the batch normalisations of `model` train with fused kernels; gives how many of them do.

    Call `fit` within the block: what was traced before is dropped on entry and on exit. Inference, frozen layers and
    layers that the kernels do not cover (other than channels-last [B, H, W, C], synchronized, renorm, masks, float64)
    keep the stock call. With `enabled` false nothing changes.
    """
    layers = [layer for layer in batch_norms(model) if covered(layer)] if enabled else []
    replace_calls(model, {layer: fused_call(layer) for layer in layers})
    try:
        yield len(layers)
    finally:
        restore_calls(model, layers)


def replace_calls(model: keras.Model, calls: dict[Any, Any]) -> None:
    """Stands `calls[layer]` before the `call` of each layer object and drops what `model` has traced."""
    for layer, call in calls.items():
        vars(layer)["call"] = call
    forget_traces(model, calls)


def restore_calls(model: keras.Model, layers: list[Any]) -> None:
    """Gives each layer the `call` of its class back."""
    for layer in layers:
        vars(layer).pop("call", None)
    forget_traces(model, layers)


def forget_traces(model: keras.Model, changed: Any) -> None:
    """Drops the functions that `model` has traced, when anything changed, so that the next step is traced anew."""
    if changed:
        model.train_function = model.test_function = model.predict_function = None


def batch_norms(model: keras.Model) -> list[BatchNormalization]:
    """The batch normalisations of `model`, nested models included; not subclasses, whose arithmetic is unknown."""
    from keras.layers import BatchNormalization

    return [layer for layer in model._flatten_layers() if type(layer) is BatchNormalization]


def covered(layer: BatchNormalization) -> bool:
    """Whether the kernels do what `layer` does: built, channels last, one device, no batch renormalisation."""
    spec: Any = layer.input_spec
    if not layer.built or spec.ndim != 4 or layer.synchronized or layer.renorm:
        return False
    return layer.axis in (-1, 3)


def fused_call(layer: BatchNormalization) -> Any:
    """A replacement of `layer.call(inputs, training, mask)` with a fused kernel in training."""
    stock = layer.call

    def call(inputs: Any, training: Any = None, mask: Any = None) -> Any:
        import tensorflow as tf

        inputs = tf.convert_to_tensor(inputs)
        if training is not True or not layer.trainable or mask is not None or inputs.dtype == tf.float64:
            return stock(inputs, training=training, mask=mask)
        x = tf.cast(inputs, tf.float32)  # as the stock layer does for half precision
        channels = x.shape[-1]
        gamma = tf.cast(tf.convert_to_tensor(layer.gamma), tf.float32) if layer.scale else tf.ones(channels)
        beta = tf.cast(tf.convert_to_tensor(layer.beta), tf.float32) if layer.center else tf.zeros(channels)
        normalise = odd_width_kernel if channels % KERNEL_WIDTH else fused_kernel
        y, mean, variance = normalise(x, gamma, beta, layer.epsilon)
        moments: Any = ((layer.moving_mean, mean), (layer.moving_variance, variance))
        for moving, new in moments:
            old = tf.convert_to_tensor(moving)
            moving.assign(old * layer.momentum + tf.cast(new, old.dtype) * (1.0 - layer.momentum))
        return tf.cast(y, layer.compute_dtype)

    return call


def fused_kernel(x: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Normalised `x` [B, H, W, C], mean [C] and biased variance [C] of the batch, by TensorFlow's kernel."""
    import tensorflow as tf

    result = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=[], variance=[], epsilon=epsilon, is_training=True
    )
    # The kernel gives the sample variance, divided by n - 1; the stock layer keeps the biased one, divided by n.
    count = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
    return result.y, result.batch_mean, result.batch_variance * (tf.maximum(count - 1.0, 1.0) / count)


def odd_width_kernel(x: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """As `fused_kernel`, for channel counts that are no multiple of 8, where that is ten times slower a value.

    Heat-map layers are such: one channel a keypoint. Sums over the cells are matrix products here.
    """
    import tensorflow as tf

    channels = x.shape[-1]

    def sums(a: Any, b: Any) -> tuple[Any, Any]:
        """Sums over all cells of `a` and of `a * b`, [C] each."""
        a, b = tf.reshape(a, [-1, channels]), tf.reshape(b, [-1, channels])
        total = tf.matmul(tf.ones([1, tf.shape(a)[0]]), a)[0]
        return total, tf.linalg.diag_part(tf.matmul(a, b, transpose_a=True))

    @tf.custom_gradient
    def normalise(x: Any, gamma: Any, beta: Any) -> Any:
        count = tf.cast(tf.size(x) // channels, tf.float32)
        # Moments about the first cell: the variance of values far from zero would otherwise cancel.
        origin = tf.reshape(x, [-1, channels])[0]
        total, squares = sums(x - origin, x - origin)
        mean = total / count
        variance = tf.maximum(squares / count - mean * mean, 0.0)
        inverse = tf.math.rsqrt(variance + epsilon)
        mean += origin
        scale = gamma * inverse

        def gradient(dy: Any, _mean: Any = None, _variance: Any = None) -> tuple[Any, Any, Any]:
            dbeta, product = sums(dy, x - origin)
            dgamma = (product - (mean - origin) * dbeta) * inverse
            slope = scale * inverse * dgamma / count
            return dy * scale - x * slope + (mean * slope - scale * dbeta / count), dgamma, dbeta

        return (x * scale + (beta - mean * scale), mean, variance), gradient

    return normalise(x, gamma, beta)
