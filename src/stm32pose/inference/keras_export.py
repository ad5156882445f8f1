"""From a Keras model to a TFLite converter whose file takes one image, quietly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stm32pose.errors import ConfigError, UserError
from stm32pose.inference.quiet import quiet_streams

if TYPE_CHECKING:
    import keras


def tflite_converter(model: keras.Model) -> Any:
    """A `tf.lite.TFLiteConverter` of the model's inference with the input shape fixed to [1, H, W, C].

    ST's tools want a fixed batch of one; `from_keras_model` leaves it open (its signature says -1). The function alone
    is handed over, without the model: its variables are then frozen at once, where the detour over a SavedModel gives
    the same operators in five times the time (15 s against 3 s, MobileNetV2 alpha 0.35).

    Raises:
        ConfigError: the model has several inputs, or an open height or width.
    """
    import tensorflow as tf

    if len(model.inputs) != 1:
        raise ConfigError(f"model '{model.name}': got {len(model.inputs)} inputs; a pose model has one image input")
    shape = tuple(model.inputs[0].shape[1:])
    if len(shape) != 3 or not all(isinstance(size, int) for size in shape):
        raise ConfigError(f"model '{model.name}': got an input of shape {list(shape)}; H, W and channels must be fixed")
    signature = tf.TensorSpec((1, *shape), tf.float32, name="image")
    function = tf.function(lambda image: model(image, training=False), input_signature=[signature])
    with quiet_streams():  # it warns that the model itself could be handed over too
        return tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])


def convert(converter: Any, what: str) -> bytes:
    """Run a converter without its hundreds of lines of output.

    Raises:
        UserError: the converter refuses the model; the line ends with its own reason.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import ConverterError

    try:
        with quiet_streams():
            return converter.convert()
    except (ConverterError, tf.errors.OpError, RuntimeError, ValueError, TypeError) as error:
        raise UserError(f"{what}: TFLite conversion failed: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The line of a converter's long message that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line or "not supported" in line.lower() or "requires" in line]
    return (telling or lines or [type(error).__name__])[0][:300]
