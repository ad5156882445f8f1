"""What makes a training step on a CPU faster and leaves the model and its saved files plain Keras."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from stm32pose.models.fused_batch_norm import fused_batch_norm, replace_calls, restore_calls

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)


@contextmanager
def fast_training(model: keras.Model, enabled: bool = True) -> Iterator[None]:
    """While open, `model` trains with fused batch normalisation, merged padding and, compiled with Adam, a fused Adam.

    Compile first, then call `fit` within the block. Results agree with the stock layers to rounding. With `enabled`
    false nothing changes.
    """
    if not enabled:
        yield
        return
    with ExitStack() as stack:
        norms = stack.enter_context(fused_batch_norm(model))
        pads = stack.enter_context(merged_padding(model))
        adam = stack.enter_context(fused_adam(getattr(model, "optimizer", None)))
        log.info(
            "faster training: %d fused batch normalisations, %d merged paddings, %s optimizer",
            norms,
            pads,
            "fused" if adam else "stock",
        )
        yield


@contextmanager
def merged_padding(model: keras.Model) -> Iterator[int]:
    """While open, padding by a row and a column before a strided depthwise convolution makes no copy.

    MobileNetV2 pads ((0, 1), (0, 1)), then convolves 3x3 with stride 2 and no padding of its own. For even sizes that
    is the convolution's own `same` padding. Gives the number of such pairs.
    """
    pairs = padded_convolutions(model)
    calls = {}
    for pad, conv in pairs:
        calls[pad], calls[conv] = merged_calls(pad, conv)
    replace_calls(model, calls)
    try:
        yield len(pairs)
    finally:
        restore_calls(model, list(calls))


def padded_convolutions(model: keras.Model) -> list[tuple[Any, Any]]:
    """Pairs (padding, depthwise convolution) of `model` that `merged_padding` covers and that meet nobody else."""
    from keras import layers

    pairs = []
    for conv in model._flatten_layers():
        if type(conv) is not layers.DepthwiseConv2D or len(conv._inbound_nodes) != 1:
            continue
        pad = conv._inbound_nodes[0].input_tensors[0]._keras_history.operation
        if type(pad) is not layers.ZeroPadding2D or len(pad._outbound_nodes) != 1 or len(pad._inbound_nodes) != 1:
            continue
        geometry = (conv.kernel_size, conv.strides, conv.padding, tuple(conv.dilation_rate), pad.padding)
        if geometry != ((3, 3), (2, 2), "valid", (1, 1), ((0, 1), (0, 1))):
            continue
        if conv.data_format == pad.data_format == "channels_last":
            pairs.append((pad, conv))
    return pairs


def merged_calls(pad: Any, conv: Any) -> tuple[Any, Any]:
    """Replacements of `pad.call` and `conv.call` that leave padding of even sizes to the convolution."""
    stock_pad, stock_conv = pad.call, conv.call
    left_out = False

    def call_pad(inputs: Any) -> Any:
        nonlocal left_out
        left_out = all(side is not None and side % 2 == 0 for side in inputs.shape[1:3])
        return inputs if left_out else stock_pad(inputs)

    def call_conv(inputs: Any) -> Any:
        if not left_out:
            return stock_conv(inputs)
        # Set back at once: a checkpoint may write the layer's configuration between two steps.
        conv.padding = "same"
        try:
            return stock_conv(inputs)
        finally:
            conv.padding = "valid"

    return call_pad, call_conv


@contextmanager
def fused_adam(optimizer: Any) -> Iterator[bool]:
    """While open, a stock Adam or AdamW updates a variable with one kernel instead of a dozen; gives whether it does.

    Formula and state are those of Keras. Other optimizers, amsgrad, sparse gradients and distribution keep the stock
    update.
    """
    from keras import optimizers

    fused = type(optimizer) in (optimizers.Adam, optimizers.AdamW) and not optimizer.amsgrad
    if fused:
        vars(optimizer)["_backend_update_step"] = adam_update(optimizer)
    try:
        yield fused
    finally:
        if fused:
            vars(optimizer).pop("_backend_update_step")


def adam_update(optimizer: Any) -> Any:
    """A replacement of `optimizer._backend_update_step(gradients, variables, learning_rate)`."""
    stock = optimizer._backend_update_step

    def update(gradients: Any, variables: Any, learning_rate: Any) -> None:
        import tensorflow as tf

        pairs = [
            (gradient, getattr(variable, "value", variable))
            for gradient, variable in zip(gradients, variables, strict=True)
        ]
        dense = all(isinstance(gradient, tf.Tensor) and gradient.dtype == tf.float32 for gradient, _ in pairs)
        if tf.distribute.has_strategy() or not dense or any(variable.dtype != tf.float32 for _, variable in pairs):
            stock(gradients, variables, learning_rate)
            return
        step = tf.cast(tf.convert_to_tensor(optimizer.iterations) + 1, tf.float32)
        rate = tf.cast(tf.convert_to_tensor(learning_rate), tf.float32)
        powers = [tf.pow(tf.constant(beta, tf.float32), step) for beta in (optimizer.beta_1, optimizer.beta_2)]
        for (gradient, variable), keras_variable in zip(pairs, variables, strict=True):
            index = optimizer._get_variable_index(keras_variable)
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=optimizer._momentums[index].value.handle,
                v=optimizer._velocities[index].value.handle,
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=rate,
                beta1=optimizer.beta_1,
                beta2=optimizer.beta_2,
                epsilon=optimizer.epsilon,
                grad=gradient,
            )

    return update
